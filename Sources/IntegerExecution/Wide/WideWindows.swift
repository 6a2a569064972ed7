import CKernels
import FloatExecution
import IntegerKernels
import ONNXTensor
import OperatorLibrary

/// The greatest code of each window.
struct WideMaxPoolStep: WideStep {
  static let kind = "codes-max-pool"
  static let layout = StepLayout.channelsLast
  static let inputCounts = 1...1
  /// nil for the whole plane.
  let window: WindowFields?

  init(_ window: WindowFields?) { self.window = window }

  func store(_ fields: inout FieldWriter) throws {
    fields.put("global", flag: window == nil)
    try window?.store(&fields)
  }

  init(_ fields: inout FieldReader) throws { window = try fields.flag("global") ? nil : WindowFields(&fields) }

  func apply(_ inputs: [PlanValue?], _ context: StepContext) throws -> PlanValue {
    let x = try wideInput(inputs, 0).channelsLast(context.pool)
    let pool = try PoolRun(x.shape, window?.attributes)
    _ = try context.elementCount(pool.shape[0], pool.shape[1], pool.window.output.reduce(1, *), 4)
    let codes = Tensor(of: Int32.self, shape: pool.storedShape, pool: context.pool) { out in
      x.codes.withElements(Int32.self) {
        var geometry = pool.geometry.c
        var shape = pool.window.c(channels: x.shape[1])
        ck_wide_max_pool(&shape, &geometry, $0.baseAddress, .min, out.baseAddress)
      }
    }
    return .wide(WideTensor(codes, shape: pool.shape, isChannelsLast: true))
  }
}

/// Linear interpolation, exact but for one rounding: the places of the output's elements between the input's are rational.
struct WideResizeStep: WideStep {
  static let kind = "codes-resize"
  static let layout = StepLayout.plain
  static let inputCounts = 1...1

  /// How an output index of an axis becomes a place among the input's.
  enum Coordinates: String {
    case halfPixel = "half_pixel"
    case pytorchHalfPixel = "pytorch_half_pixel"
    case alignCorners = "align_corners"
    case asymmetric = "asymmetric"
  }

  let coordinates: Coordinates
  /// One for each axis of the input: output extents, 0 where the axis keeps its own; or nil, and then scales count.
  let sizes: [Int]?
  /// Scales as quotients of integers, numerator after denominator for each axis.
  let scales: [(over: Int, under: Int)]

  init(_ coordinates: Coordinates, sizes: [Int]?, scales: [(over: Int, under: Int)]) {
    self.coordinates = coordinates
    self.sizes = sizes
    self.scales = scales
  }

  func store(_ fields: inout FieldWriter) {
    fields.put("coordinates", string: coordinates.rawValue)
    if let sizes { fields.put("sizes", ints: sizes) }
    fields.put("scales", ints: scales.flatMap { [$0.over, $0.under] })
  }

  init(_ fields: inout FieldReader) throws {
    let name = try fields.string("coordinates")
    guard let coordinates = Coordinates(rawValue: name) else { throw fields.damaged("coordinates '\(name)'") }
    self.coordinates = coordinates
    sizes = try fields.intsIfPresent("sizes")
    let flat = try fields.ints("scales", in: 1...1 << 20)
    guard sizes?.allSatisfy({ (0...1 << 20).contains($0) }) ?? true, flat.count % 2 == 0, flat.count <= 16,
      sizes == nil || flat.isEmpty
    else { throw fields.damaged("sizes or scales cannot be") }
    scales = stride(from: 0, to: flat.count, by: 2).map { (flat[$0], flat[$0 + 1]) }
  }

  /// Places of one axis as low and high index and a weight over a common denominator.
  private struct Axis {
    var low: [Int32] = []
    var high: [Int32] = []
    var weight: [Int32] = []
    var denominator = 1

    static let identity = Axis(low: [0], high: [0], weight: [0], denominator: 1)

    init(low: [Int32], high: [Int32], weight: [Int32], denominator: Int) {
      self.low = low
      self.high = high
      self.weight = weight
      self.denominator = denominator
    }

    /// The scale is over / under.
    init(input: Int, output: Int, over: Int, under: Int, _ coordinates: Coordinates) {
      // place = numerator / denominator of output index o.
      let numerator: (Int) -> Int
      switch coordinates {
      case .halfPixel, .pytorchHalfPixel:
        if coordinates == .pytorchHalfPixel, over * input == under {
          denominator = 2
          numerator = { _ in -1 }
        } else {
          denominator = 2 * over
          numerator = { (2 * $0 + 1) * under - over }
        }
      case .asymmetric:
        denominator = over
        numerator = { $0 * under }
      case .alignCorners:
        // The last of over / under · input outputs lies on the last input.
        let reach = over * input - under
        denominator = max(reach, 1)
        numerator = { reach == 0 ? 0 : $0 * (input - 1) * under }
      }
      for index in 0..<output {
        let place = min(max(numerator(index), 0), (input - 1) * denominator)
        low.append(Int32(place / denominator))
        high.append(Int32(min(place / denominator + 1, input - 1)))
        weight.append(Int32(place % denominator))
      }
    }

    func withPointers(
      _ body: (UnsafePointer<Int32>?, UnsafePointer<Int32>?, UnsafePointer<Int32>?) -> Void
    ) {
      low.withUnsafeBufferPointer { low in
        high.withUnsafeBufferPointer { high in
          weight.withUnsafeBufferPointer { body(low.baseAddress, high.baseAddress, $0.baseAddress) }
        }
      }
    }
  }

  func apply(_ inputs: [PlanValue?], _ context: StepContext) throws -> PlanValue {
    let x = try wideInput(inputs, 0).plain(context.pool)
    let rank = x.shape.count
    guard (sizes ?? []).count == (sizes == nil ? 0 : rank), sizes != nil || scales.count == rank,
      x.shape.allSatisfy({ $0 < 1 << 20 })
    else { throw ExecutionError(.failed, "an input of shape \(x.shape) does not fit the resize") }
    var shape = x.shape
    var axes: [Int] = []
    var maps: [Axis] = []
    for d in 0..<rank {
      var ratio = (over: 1, under: 1)
      if let sizes {
        if sizes[d] > 0 { ratio = (sizes[d], max(x.shape[d], 1)) }
      } else {
        ratio = scales[d]
      }
      let output = x.shape[d] * ratio.over / ratio.under
      if ratio.over == ratio.under { continue }
      guard x.shape[d] > 0 else { throw ExecutionError(.failed, "an empty axis cannot be resized") }
      shape[d] = output
      axes.append(d)
      let divisor = greatestCommonDivisor(ratio.over, ratio.under)
      maps.append(
        Axis(
          input: x.shape[d], output: output, over: ratio.over / divisor, under: ratio.under / divisor, coordinates))
    }
    let elements = try context.elementCount(shape)
    _ = try context.elementCount(elements, 4)
    guard let first = axes.first, let last = axes.last else { return .wide(x) }
    guard elements > 0 else { return .wide(WideTensor(plain: Tensor([Int32](), shape: shape))) }
    guard axes.count <= 3, last - first < 3, maps.reduce(1.0, { $0 * Double($1.denominator) }) < 0x1p31 else {
      throw ExecutionError(.failed, "axes \(axes) are too far apart, or their scales have too many digits")
    }
    let whole = (0..<3).map { slot -> (input: Int, output: Int, map: Axis) in
      let d = last - 2 + slot
      guard d >= first else { return (1, 1, .identity) }
      if let index = axes.firstIndex(of: d) { return (x.shape[d], shape[d], maps[index]) }
      let places = (0..<Int32(x.shape[d])).map { $0 }
      return (
        x.shape[d], x.shape[d], Axis(low: places, high: places, weight: places.map { _ in 0 }, denominator: 1)
      )
    }
    let codes = Tensor(of: Int32.self, shape: shape, pool: context.pool) { out in
      x.codes.withElements(Int32.self) { x in
        whole[0].map.withPointers { low0, high0, weight0 in
          whole[1].map.withPointers { low1, high1, weight1 in
            whole[2].map.withPointers { low2, high2, weight2 in
              var r = ck_wide_resampling()
              r.outer = Int64(shape[..<first].reduce(1, *))
              r.inner = Int64(shape[(last + 1)...].reduce(1, *))
              r.input = (Int64(whole[0].input), Int64(whole[1].input), Int64(whole[2].input))
              r.output = (Int64(whole[0].output), Int64(whole[1].output), Int64(whole[2].output))
              r.low = (low0, low1, low2)
              r.high = (high0, high1, high2)
              r.weight = (weight0, weight1, weight2)
              r.denominator = (
                Int32(whole[0].map.denominator), Int32(whole[1].map.denominator), Int32(whole[2].map.denominator)
              )
              ck_wide_resize(&r, x.baseAddress, out.baseAddress)
            }
          }
        }
      }
    }
    return .wide(WideTensor(plain: codes))
  }
}

private func greatestCommonDivisor(_ a: Int, _ b: Int) -> Int { b == 0 ? a : greatestCommonDivisor(b, a % b) }
