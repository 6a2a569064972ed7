import CKernels
import FloatExecution
import IntegerKernels
import ONNXGraph
import ONNXTensor
import QuantCore

/// What becomes of a weighted operator's accumulators.
enum LinearFinish {
  case requantize(QuantizationTarget)
  /// The accumulators plus a quantized tensor, rounded once.
  case add(Lowering.Operand, QuantizationTarget)
  /// Reals: accumulator times scale.
  case dequantize
  /// Fixed point, for what follows before the next quantization.
  case wide(WideFinish)
}

/// The end of a weighted operator: accumulators [rows][channels] in the order in which they lie, to its result.
struct AccumulatorFinish {
  let finish: LinearFinish
  let options: IntegerOptions
  /// Real value of one accumulator unit; one for each channel, or one for all.
  let scales: [Float]
  let multipliers: [IntegerMultiplier]
  let patterns: [UInt32]
  let residualMultiplier: IntegerMultiplier?

  /// nil where a scale is not a quantization scale.
  init?(_ finish: LinearFinish, options: IntegerOptions, input: Float, weights: [Float]) {
    self.finish = finish
    self.options = options
    scales = weights.map { input * $0 }
    guard scales.allSatisfy({ $0.isFinite }) else { return nil }
    var residual: IntegerMultiplier?
    let target: QuantizationTarget
    switch finish {
    case .dequantize, .wide:
      multipliers = []
      patterns = []
      residualMultiplier = nil
      return
    case .requantize(let wanted): target = wanted
    case .add(let operand, let wanted):
      target = wanted
      guard let m = FixedPointMultiplier(operand.parameters.scale, over: wanted.parameters.scale) else { return nil }
      residual = IntegerMultiplier(m)
    }
    var multipliers: [IntegerMultiplier] = []
    for weight in weights {
      guard let m = FixedPointMultiplier(input, times: weight, over: target.parameters.scale) else { return nil }
      multipliers.append(IntegerMultiplier(m))
    }
    self.multipliers = multipliers
    patterns = scales.map { ($0 / target.parameters.scale).bitPattern }
    residualMultiplier = residual
  }

  /// What the kernel itself can do at the end; nil where it is to give accumulators.
  var fused: ConvolutionDescription.Requantization? {
    guard case .requantize(let target) = finish, !options.countsTies else { return nil }
    return .init(output: target.output, rounding: options.rounding, multipliers: multipliers, patterns: patterns)
  }

  func apply(
    _ accumulators: UnsafePointer<Int32>, rows: Int, channels: Int, shape: [Int], isChannelsLast: Bool,
    residual: PlanValue?, _ context: StepContext
  ) throws -> PlanValue {
    let stored = IntegerTensor.storedShape(shape, channelsLast: isChannelsLast)
    switch finish {
    case .dequantize:
      return .runtime(.tensor(dequantized(accumulators, channels: channels, shape: shape, isChannelsLast, context)))
    case .wide(let finish):
      let codes = Tensor(of: Int32.self, shape: stored, pool: context.pool) { y in
        ck_int_requantize(
          accumulators, Int64(rows), Int64(channels), finish.multipliers, finish.multipliers.count > 1 ? 1 : 0,
          IntegerOutput(zero: 0, lo: .min, hi: .max), CK_INT_S32, y.baseAddress, ck_isa_current())
        if !finish.offsets.isEmpty {
          ck_wide_offset(
            y.baseAddress, Int64(rows), Int64(channels), finish.offsets, finish.offsets.count > 1 ? 1 : 0)
        }
      }
      return .wide(WideTensor(codes, shape: shape, isChannelsLast: isChannelsLast))
    case .requantize(let target):
      let bytes = Tensor(of: UInt8.self, shape: stored, pool: context.pool) { y in
        switch options.rounding {
        case .fixed:
          requantize(
            accumulators, rows: rows, channels: channels, by: multipliers, output: target.output, into: y.baseAddress!)
        case .binary32:
          let values = patterns.map(Float.init(bitPattern:))
          ck_int_requantize_float32(
            accumulators, Int64(rows), Int64(channels), values, values.count > 1 ? 1 : 0, target.output, CK_INT_U8,
            y.baseAddress)
        }
      }
      if options.countsTies {
        let values = patterns.map(Float.init(bitPattern:))
        context.statistics.ties += Int(
          ck_int_count_ties(
            accumulators, Int64(rows), Int64(channels), multipliers, values, values.count > 1 ? 1 : 0, target.output))
      }
      return .integer(IntegerTensor(bytes, shape: shape, isChannelsLast: isChannelsLast))
    case .add(let operand, let target):
      guard case .integer(var r) = residual else { throw ExecutionError(.failed, "the residual has no integers") }
      guard BroadcastLoop.shape(r.shape, shape) == shape else {
        throw ExecutionError(.failed, "the residual's shape \(r.shape) does not broadcast to \(shape)")
      }
      if r.shape != shape { r = r.expanded(to: shape) }
      r = isChannelsLast ? r.channelsLast(context.pool) : r.plain(context.pool)
      let bytes = Tensor(of: UInt8.self, shape: stored, pool: context.pool) { y in
        r.bytes.withElements(UInt8.self) { r in
          switch options.rounding {
          case .fixed:
            requantizeSum(
              accumulators, rows: rows, channels: channels, by: multipliers, residual: r.baseAddress!,
              residualZero: operand.parameters.zero,
              residualMultiplier: residualMultiplier ?? IntegerMultiplier(m0: 0, shift: 0),
              output: target.output, into: y.baseAddress!)
          case .binary32:
            for i in 0..<rows * channels {
              let product = Float(accumulators[i]) * scales[scales.count > 1 ? i % channels : 0]
              y[i] = target.bounded(target.parameters.quantize(product + operand.parameters.dequantize(r[i])))
            }
          }
        }
      }
      return .integer(IntegerTensor(bytes, shape: shape, isChannelsLast: isChannelsLast))
    }
  }

  private func dequantized(
    _ accumulators: UnsafePointer<Int32>, channels: Int, shape: [Int], _ isChannelsLast: Bool, _ context: StepContext
  ) -> Tensor {
    Tensor(of: Float.self, shape: shape, pool: context.pool) { y in
      let count = y.count
      guard isChannelsLast, shape.count > 2 else {
        let rows = channels > 0 ? count / channels : 0
        ck_int_dequantize(accumulators, Int64(rows), Int64(channels), scales, scales.count > 1 ? 1 : 0, y.baseAddress)
        return
      }
      let plane = shape[2...].reduce(1, *)
      for image in 0..<shape[0] {
        let base = image * plane * channels
        for channel in 0..<channels {
          let scale = scales[scales.count > 1 ? channel : 0]
          for pixel in 0..<plane {
            y[base + channel * plane + pixel] = Float(accumulators[base + pixel * channels + channel]) * scale
          }
        }
      }
    }
  }
}

extension IntegerTensor {
  /// The elements repeated to a shape to which they broadcast.
  func expanded(to target: [Int]) -> IntegerTensor {
    let source = padded(toRank: target.count).plain(nil)
    var strides = [Int](repeating: 0, count: target.count)
    var step = 1
    for d in target.indices.reversed() {
      if source.shape[d] != 1 { strides[d] = step }
      step *= source.shape[d]
    }
    let bytes = Tensor(of: UInt8.self, shape: target) { out in
      source.bytes.withElements(UInt8.self) { x in
        var index = [Int](repeating: 0, count: target.count)
        var offset = 0
        for i in out.indices {
          out[i] = x[offset]
          var d = target.count - 1
          while d >= 0 {
            offset += strides[d]
            index[d] += 1
            if index[d] < target[d] { break }
            offset -= strides[d] * target[d]
            index[d] = 0
            d -= 1
          }
        }
      }
    }
    return IntegerTensor(plain: bytes)
  }
}
