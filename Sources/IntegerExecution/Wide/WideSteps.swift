import CKernels
import FloatExecution
import FloatKernels
import IntegerKernels
import ONNXGraph
import ONNXTensor
import OperatorLibrary

/// A step on fixed-point values: plain fields and what they do.
protocol WideStep: StoredOperation {
  func apply(_ inputs: [PlanValue?], _ context: StepContext) throws -> PlanValue
}

extension WideStep {
  func run(_ inputs: [PlanValue?], _ context: StepContext) throws -> [PlanValue?] { [try apply(inputs, context)] }
}

/// A constant's codes as they lie in the plan.
struct WideImportStep: WideStep {
  func apply(_ inputs: [PlanValue?], _ context: StepContext) throws -> PlanValue {
    guard case .runtime(let value) = inputs[0], let codes = value.tensor, codes.elementType == .int32 else {
      throw ExecutionError(.failed, "the constant has no codes")
    }
    return .wide(WideTensor(plain: codes))
  }
}

/// The fixed-point codes that a step is given at `index`.
func wideInput(_ inputs: [PlanValue?], _ index: Int) throws -> WideTensor {
  guard index < inputs.count, case .wide(let tensor) = inputs[index] else {
    throw ExecutionError(.failed, "input \(index) has no fixed-point codes")
  }
  return tensor
}

/// Bytes to codes through a table: the exact real of each byte, rounded once.
struct WideLookupStep: WideStep {
  let table: [Int32]

  func apply(_ inputs: [PlanValue?], _ context: StepContext) throws -> PlanValue {
    let x = try integerInput(inputs, 0)
    let codes = Tensor(of: Int32.self, shape: x.bytes.shape, pool: context.pool) { out in
      x.bytes.withElements(UInt8.self) { ck_wide_lookup($0.baseAddress, Int64(x.count), table, out.baseAddress) }
    }
    return .wide(WideTensor(codes, shape: x.shape, isChannelsLast: x.isChannelsLast))
  }
}

/// Codes to bytes with one rounding.
struct WideQuantizeStep: WideStep {
  let multiplier: IntegerMultiplier
  let target: QuantizationTarget

  func apply(_ inputs: [PlanValue?], _ context: StepContext) throws -> PlanValue {
    let x = try wideInput(inputs, 0)
    let bytes = Tensor(of: UInt8.self, shape: x.codes.shape, pool: context.pool) { out in
      x.codes.withElements(Int32.self) {
        guard x.count > 0 else { return }
        requantize(
          $0.baseAddress!, rows: 1, channels: x.count, by: [multiplier], output: target.output, into: out.baseAddress!)
      }
    }
    return .integer(IntegerTensor(bytes, shape: x.shape, isChannelsLast: x.isChannelsLast))
  }
}

/// Codes to reals: the end of a region without a QuantizeLinear.
struct WideDequantizeStep: WideStep {
  let fraction: Int32

  func apply(_ inputs: [PlanValue?], _ context: StepContext) throws -> PlanValue {
    .runtime(.tensor(try wideInput(inputs, 0).reals(fraction, context.pool)))
  }
}

/// Reals to codes, saturated: an additive mask on its way into Softmax.
struct WideBorderStep: WideStep {
  let fraction: Int32
  let limit: Int32

  func apply(_ inputs: [PlanValue?], _ context: StepContext) throws -> PlanValue {
    guard case .runtime(let value) = inputs[0], let tensor = value.tensor, let values = tensor.floats else {
      throw ExecutionError(.failed, "the mask is not a tensor of numbers")
    }
    let codes = Tensor(of: Int32.self, shape: tensor.shape, pool: context.pool) {
      ck_wide_quantize(values, Int64(values.count), fraction, limit, $0.baseAddress)
    }
    return .wide(WideTensor(plain: codes))
  }
}

struct WideScaleStep: WideStep {
  let multiplier: IntegerMultiplier

  func apply(_ inputs: [PlanValue?], _ context: StepContext) throws -> PlanValue {
    .wide(try wideInput(inputs, 0).map(context.pool) { ck_wide_scale($0, $1, multiplier, $2) })
  }
}

struct WideClampStep: WideStep {
  let low: Int32
  let high: Int32

  func apply(_ inputs: [PlanValue?], _ context: StepContext) throws -> PlanValue {
    .wide(try wideInput(inputs, 0).map(context.pool) { ck_wide_clamp($0, $1, low, high, $2) })
  }
}

/// A function of one variable by straight lines.
struct WideFunctionStep: WideStep {
  let fractions: (x: Int32, y: Int32)
  let core: Int32
  let nodes: [Int32]
  let left: (slope: Int32, intercept: Int32)
  let right: (slope: Int32, intercept: Int32)

  func apply(_ inputs: [PlanValue?], _ context: StepContext) throws -> PlanValue {
    .wide(
      try nodes.withUnsafeBufferPointer { nodes in
        var function = ck_wide_function(
          fx: fractions.x, fy: fractions.y, core: core, nodes: nodes.baseAddress, left_slope: left.slope,
          left_intercept: left.intercept, right_slope: right.slope, right_intercept: right.intercept)
        return try wideInput(inputs, 0).map(context.pool) { ck_wide_apply(&function, $0, $1, $2) }
      })
  }
}

/// Sum, difference or product of two tensors under ONNX's broadcasting.
struct WideBinaryStep: WideStep {
  enum Operation: String { case add, subtract, multiply }
  let operation: Operation
  let fractions: (a: Int32, b: Int32, y: Int32)

  func apply(_ inputs: [PlanValue?], _ context: StepContext) throws -> PlanValue {
    var a = try wideInput(inputs, 0)
    var b = try wideInput(inputs, 1)
    guard let shape = BroadcastLoop.shape(a.shape, b.shape) else {
      throw ExecutionError(.failed, "shapes \(a.shape) and \(b.shape) do not broadcast")
    }
    _ = try context.elementCount(shape)
    let channelsLast = shape.count > 2 && (a.isChannelsLast || b.isChannelsLast)
    if channelsLast {
      a = a.padded(toRank: shape.count, context.pool).channelsLast(context.pool)
      b = b.padded(toRank: shape.count, context.pool).channelsLast(context.pool)
    } else {
      a = a.plain(context.pool)
      b = b.plain(context.pool)
    }
    guard let loop = BroadcastLoop(a.codes.shape, b.codes.shape) else {
      throw ExecutionError(.failed, "shapes \(a.shape) and \(b.shape) broadcast over too many dimensions")
    }
    let stored = IntegerTensor.storedShape(shape, channelsLast: channelsLast)
    let codes = Tensor(of: Int32.self, shape: stored, pool: context.pool) { out in
      a.codes.withElements(Int32.self) { x in
        b.codes.withElements(Int32.self) { y in
          var c = loop.c
          switch operation {
          case .add, .subtract:
            ck_wide_add(
              &c, x.baseAddress, fractions.a, y.baseAddress, fractions.b, operation == .add ? 0 : 1, fractions.y,
              out.baseAddress)
          case .multiply:
            ck_wide_multiply(
              &c, x.baseAddress, fractions.a, y.baseAddress, fractions.b, fractions.y, out.baseAddress)
          }
        }
      }
    }
    return .wide(WideTensor(codes, shape: shape, isChannelsLast: channelsLast))
  }
}

struct WideSoftmaxStep: WideStep {
  let fraction: Int32
  let axis: Int
  /// Before opset 13 all axes from `axis` on are one.
  let flattens: Bool

  private static let table: [UInt32] = {
    var table = [UInt32](repeating: 0, count: 1025)
    ck_wide_exp2_table(&table)
    return table
  }()

  func apply(_ inputs: [PlanValue?], _ context: StepContext) throws -> PlanValue {
    let x = try wideInput(inputs, 0).plain(context.pool)
    let rank = x.shape.count
    let axis = axis < 0 ? axis + rank : axis
    guard axis >= 0, axis < rank else { throw ExecutionError(.failed, "axis \(axis) does not fit shape \(x.shape)") }
    let count = flattens ? x.shape[axis...].reduce(1, *) : x.shape[axis]
    let inner = flattens ? 1 : x.shape[(axis + 1)...].reduce(1, *)
    guard x.count > 0 else { return .wide(x) }
    let outer = x.count / (count * inner)
    func moved(_ tensor: WideTensor, rows: Int, columns: Int) -> WideTensor {
      guard inner > 1 else { return tensor }
      return tensor.map(context.pool) { x, _, y in
        ck_wide_transpose(x, Int64(outer), Int64(rows), Int64(columns), y)
      }
    }
    let rows = moved(x, rows: count, columns: inner)
    let result = rows.map(context.pool) { x, total, y in
      ck_wide_softmax(x, total / Int64(count), Int64(count), fraction, Self.table, y)
    }
    return .wide(moved(result, rows: inner, columns: count))
  }
}

/// LayerNormalization, or RMSNormalization where `isCentred` is false.
struct WideNormalizationStep: WideStep {
  let fractions: (x: Int32, y: Int32)
  let isCentred: Bool
  let epsilon: ck_int_multiplier
  let gamma: [Int32]
  let gammaFraction: Int32
  let beta: [Int32]?
  let betaFraction: Int32
  let axis: Int

  func apply(_ inputs: [PlanValue?], _ context: StepContext) throws -> PlanValue {
    let x = try wideInput(inputs, 0).plain(context.pool)
    let rank = x.shape.count
    let axis = axis < 0 ? axis + rank : axis
    guard axis >= 0, axis < rank, x.shape[axis...].reduce(1, *) == gamma.count else {
      throw ExecutionError(.failed, "an input of shape \(x.shape) does not fit \(gamma.count) scales from axis \(axis)")
    }
    return .wide(
      gamma.withUnsafeBufferPointer { gamma in
        (beta ?? []).withUnsafeBufferPointer { beta in
          var n = ck_wide_normalization(
            count: Int64(gamma.count), fx: fractions.x, fy: fractions.y, centred: isCentred ? 1 : 0, epsilon: epsilon,
            gamma: gamma.baseAddress, beta: self.beta == nil ? nil : beta.baseAddress, fg: gammaFraction,
            fb: betaFraction)
          return x.map(context.pool) { ck_wide_normalize(&n, $0, $1 / n.count, $2) }
        }
      })
  }
}

/// Means over neighbouring axes; nil axes are those after the first two.
struct WideMeanStep: WideStep {
  let axes: [Int]?
  let keeps: Bool

  func apply(_ inputs: [PlanValue?], _ context: StepContext) throws -> PlanValue {
    let x = try wideInput(inputs, 0).plain(context.pool)
    let rank = x.shape.count
    let chosen = (axes?.map { $0 < 0 ? $0 + rank : $0 } ?? Array(min(2, rank)..<rank)).sorted()
    guard let first = chosen.first, let last = chosen.last, first >= 0, last < rank,
      chosen == Array(first...last), x.count > 0
    else { throw ExecutionError(.failed, "axes \(axes ?? []) of shape \(x.shape) have no mean here") }
    let count = x.shape[first...last].reduce(1, *)
    let inner = x.shape[(last + 1)...].reduce(1, *)
    let outer = x.count / (count * inner)
    let shape =
      x.shape[..<first] + (keeps ? chosen.map { _ in 1 } : []) + x.shape[(last + 1)...]
    let codes = Tensor(of: Int32.self, shape: Array(shape), pool: context.pool) { out in
      x.codes.withElements(Int32.self) {
        ck_wide_mean($0.baseAddress, Int64(outer), Int64(count), Int64(inner), out.baseAddress)
      }
    }
    return .wide(WideTensor(plain: codes))
  }
}

struct WideAveragePoolStep: WideStep {
  let window: WindowFields
  let includesPadding: Bool

  func apply(_ inputs: [PlanValue?], _ context: StepContext) throws -> PlanValue {
    let x = try wideInput(inputs, 0).channelsLast(context.pool)
    let pool = try PoolRun(x.shape, window.attributes)
    _ = try context.elementCount(pool.shape[0], pool.shape[1], pool.window.output.reduce(1, *))
    let divisors = includesPadding ? pool.paddedCounts() : nil
    let codes = Tensor(of: Int32.self, shape: pool.storedShape, pool: context.pool) { out in
      x.codes.withElements(Int32.self) {
        var geometry = pool.geometry.c
        var shape = pool.window.c(channels: x.shape[1])
        ck_wide_average_pool(&shape, &geometry, $0.baseAddress, divisors, out.baseAddress)
      }
    }
    return .wide(WideTensor(codes, shape: pool.shape, isChannelsLast: true))
  }
}

/// Codes moved by an operator's own kernel: input 0, or all inputs of Concat.
struct WideMovementStep: WideStep {
  let node: Node
  /// Which of the node's outputs the step gives.
  let output: Int
  /// What Pad fills with.
  let fill: Int32?
  let kernel: LazyKernel

  func apply(_ inputs: [PlanValue?], _ context: StepContext) throws -> PlanValue {
    _ = try wideInput(inputs, 0)
    var values = inputs.map { argument -> RuntimeValue? in
      switch argument {
      case .wide(let tensor): .tensor(tensor.plain(context.pool).codes)
      case .runtime(let value): value
      default: nil
      }
    }
    if let fill, values.count > 2 { values[2] = .tensor(Tensor(scalar: fill)) }
    let evaluation = EvaluationContext(
      threads: context.threads, pool: context.pool, outputCount: node.outputs.count)
    let results = try kernel.get().body(values, evaluation)
    guard output < results.count, let result = results[output]?.tensor, result.elementType == .int32 else {
      throw ExecutionError(.failed, "moved codes came back as something else")
    }
    return .wide(WideTensor(plain: result))
  }
}
