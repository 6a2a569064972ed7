import CKernels
import ONNXTensor

/// Fixed-point reals between two quantizations: `Int32` codes, real = code · 2^-fraction. The plan knows the fraction.
struct WideTensor {
  /// The codes in the order in which they lie.
  let codes: Tensor
  /// The shape that the graph sees.
  let shape: [Int]
  let isChannelsLast: Bool

  init(_ codes: Tensor, shape: [Int], isChannelsLast: Bool) {
    self.codes = codes
    self.shape = shape
    self.isChannelsLast = isChannelsLast
  }

  init(plain codes: Tensor) { self.init(codes, shape: codes.shape, isChannelsLast: false) }

  var count: Int { codes.count }

  func plain(_ pool: BufferPool?) -> WideTensor {
    guard isChannelsLast, shape.count > 2 else { return WideTensor(plain: codes.reshaped(shape)) }
    let pixels = shape[2...].reduce(1, *)
    return WideTensor(
      plain: Tensor(of: Int32.self, shape: shape, pool: pool) { out in
        codes.withElements(Int32.self) {
          ck_wide_transpose($0.baseAddress, Int64(shape[0]), Int64(pixels), Int64(shape[1]), out.baseAddress)
        }
      })
  }

  func channelsLast(_ pool: BufferPool?) -> WideTensor {
    guard !isChannelsLast, shape.count > 2 else { return self }
    let pixels = shape[2...].reduce(1, *)
    let stored = IntegerTensor.storedShape(shape, channelsLast: true)
    let result = Tensor(of: Int32.self, shape: stored, pool: pool) { out in
      codes.withElements(Int32.self) {
        ck_wide_transpose($0.baseAddress, Int64(shape[0]), Int64(shape[1]), Int64(pixels), out.baseAddress)
      }
    }
    return WideTensor(result, shape: shape, isChannelsLast: true)
  }

  /// Element by element, keeping the layout.
  func map(
    _ pool: BufferPool?, _ body: (UnsafePointer<Int32>, Int64, UnsafeMutablePointer<Int32>) -> Void
  ) -> WideTensor {
    let result = Tensor(of: Int32.self, shape: codes.shape, pool: pool) { out in
      codes.withElements(Int32.self) { if count > 0 { body($0.baseAddress!, Int64(count), out.baseAddress!) } }
    }
    return WideTensor(result, shape: shape, isChannelsLast: isChannelsLast)
  }

  /// The reals, each rounded once to float32.
  func reals(_ fraction: Int32, _ pool: BufferPool?) -> Tensor {
    let plain = plain(pool)
    return Tensor(of: Float.self, shape: shape, pool: pool) { out in
      plain.codes.withElements(Int32.self) {
        ck_wide_dequantize($0.baseAddress, Int64(plain.count), fraction, out.baseAddress)
      }
    }
  }

  /// Leading dimensions of 1.
  func padded(toRank rank: Int, _ pool: BufferPool?) -> WideTensor {
    guard shape.count < rank else { return self }
    return WideTensor(
      plain: plain(pool).codes.reshaped([Int](repeating: 1, count: rank - shape.count) + shape))
  }
}

/// A value held in fixed point: where, and what the plan has proved of it.
struct WideForm {
  let slot: Int
  let fraction: Int32
  /// No element lies outside, whatever the inputs.
  let low: Double
  let high: Double
  /// Something quantized goes in; a form of constants alone stays float at a float reader.
  let isQuantized: Bool

  /// The most fraction bits with which a real of this magnitude leaves a bit of an int32 to spare; nil beyond 2^30.
  static func fraction(_ low: Double, _ high: Double) -> Int32? {
    let bound = max(abs(low), abs(high))
    guard bound.isFinite, bound < 0x1p30 else { return nil }
    return bound == 0 ? 30 : min(30, max(0, 30 - Int32(bound.exponent) - 1))
  }
}

/// What a weighted operator that ends in fixed point learns of its accumulators when it is packed.
final class WideFinish {
  private(set) var fraction: Int32 = 0
  private(set) var low = 0.0
  private(set) var high = 0.0
  private(set) var multipliers: [ck_int_multiplier] = []
  /// Biases too great for the accumulators, added after them.
  var biases: [Float] = []
  private(set) var offsets: [Int32] = []

  init() {}

  func store(_ fields: inout FieldWriter) throws(EngineFileError) {
    fields.put("fraction", int: Int(fraction))
    try fields.put("codes_multipliers", tensor: Tensor(multipliers.map(\.m0), shape: [multipliers.count]))
    try fields.put("codes_shifts", tensor: Tensor(multipliers.map(\.shift), shape: [multipliers.count]))
    if !offsets.isEmpty { try fields.put("codes_offsets", tensor: Tensor(offsets, shape: [offsets.count])) }
  }

  init(_ fields: inout FieldReader, outputs: Int) throws(EngineFileError) {
    fraction = Int32(try fields.int("fraction", in: 0...30))
    let m0 = try fields.tensor("codes_multipliers", .int32, shape: [outputs]).array(Int32.self)
    let shifts = try fields.tensor("codes_shifts", .int32, shape: [outputs]).array(Int32.self)
    guard m0.allSatisfy({ $0 >= 0 }), shifts.allSatisfy({ (0...62).contains($0) }) else {
      throw fields.damaged("a multiplier or shift is out of range")
    }
    multipliers = zip(m0, shifts).map { ck_int_multiplier(m0: $0, shift: $1) }
    if let tensor = try fields.tensorIfPresent("codes_offsets", .int32) {
      offsets = tensor.array(Int32.self)
      guard offsets.count == 1 || offsets.count == outputs else { throw fields.damaged("the offsets do not fit") }
    }
  }

  /// - Returns: false where the accumulators' reals have no fixed-point form.
  func settle(scales: [Float], least: [Int64], greatest: [Int64]) -> Bool {
    low = 0
    high = 0
    for n in least.indices {
      let scale = Double(scales[scales.count > 1 ? n : 0])
      let bias = biases.isEmpty ? 0 : Double(biases[biases.count > 1 ? n : 0])
      low = min(low, Double(least[n]) * scale + bias)
      high = max(high, Double(greatest[n]) * scale + bias)
    }
    guard let fraction = WideForm.fraction(low * 1.000001, high * 1.000001) else { return false }
    self.fraction = fraction
    offsets = biases.map {
      Int32(($0 * Float(sign: .plus, exponent: Int(fraction), significand: 1)).rounded(.toNearestOrEven))
    }
    multipliers = scales.map { WideScale($0, from: 0, to: fraction).multiplier }
    return true
  }
}

/// A factor between codes of two fractions.
struct WideScale {
  let multiplier: ck_int_multiplier

  /// factor · 2^(to - from), exact for a float32 factor within the multiplier's range.
  init(_ factor: Float, from: Int32, to: Int32) {
    guard factor != 0, factor.isFinite else {
      multiplier = ck_int_multiplier(m0: 0, shift: 0)
      return
    }
    // significand in [1, 2) with 24 bits, held as 31 bits.
    let mantissa = Int32(abs(factor).significand * Float(1 << 30))
    let shift = 30 - Int32(factor.exponent) - (to - from)
    let m0 = factor < 0 ? -mantissa : mantissa
    if shift > 62 {
      multiplier = ck_int_multiplier(m0: 0, shift: 0)
    } else if shift < 0 {
      multiplier = ck_int_multiplier(m0: factor < 0 ? -Int32.max : Int32.max, shift: 0)
    } else {
      multiplier = ck_int_multiplier(m0: m0, shift: shift)
    }
  }

  /// A positive float as it is, however small.
  static func exact(_ value: Float) -> ck_int_multiplier {
    guard value > 0, value < 1 else { return WideScale(value, from: 0, to: 0).multiplier }
    return ck_int_multiplier(m0: Int32(value.significand * Float(1 << 30)), shift: 30 - Int32(value.exponent))
  }
}
