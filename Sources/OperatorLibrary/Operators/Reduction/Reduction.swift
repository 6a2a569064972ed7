import FloatKernels
import Glibc
import ONNXTensor

/// What a Reduce operator computes over each set of elements.
enum Reduction {
  case sum, mean, max, min, product, magnitudes, euclidean, squares, logSum, logSumExp
}

/// The common parts of the Reduce operators.
///
/// Axes are an attribute before opset 18 (ReduceSum: 13) and an input since. float16 and bfloat16 are computed in
/// float32 and rounded, integers wrap; means of integers are truncated and roots and logarithms of integers computed in
/// float64.
protocol ReduceOperator: Operator {
  static var reduction: Reduction { get }
  /// The opset that made `axes` an input.
  static var axesInput: Int { get }
}

extension ReduceOperator {
  static var axesInput: Int { 18 }

  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let keepsDimensions = try node.bool("keepdims", default: true)
    let isNoop = try node.bool("noop_with_empty_axes", default: false)
    let attribute = node.opset < axesInput ? try node.ints("axes") : nil
    return .tensors { inputs, context in
      let x = try inputs[0]
      let given = try attribute ?? (node.opset < axesInput ? nil : inputs.optional(1)?.integers("axes"))
      let layout = try ReductionLayout(
        shape: x.shape, axes: axes(given, isNoop: isNoop, rank: x.rank), keepsDimensions: keepsDimensions)
      return try reduction.apply(x, layout, context)
    }
  }

  private static func axes(_ given: [Int]?, isNoop: Bool, rank: Int) throws -> [Int] {
    guard let given, !given.isEmpty else { return isNoop ? [] : Array(0..<rank) }
    return try ShapeArithmetic.axes(given, rank: rank)
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    if let folded = ShapeInference.folded(Self.self, node, inputs) { return folded }
    let x = ShapeInference.input(inputs, 0)
    let keeps = try node.bool("keepdims", default: true)
    guard let dims = x?.dimensions else { return [.tensor(x?.elementType, dimensions: nil)] }
    var given: [Int]?
    if node.opset < axesInput {
      given = try node.ints("axes")
    } else if node.hasInput(1) {
      given = ShapeInference.integers(inputs, 1)
      if given == nil {
        return [.tensor(x?.elementType, dimensions: keeps ? dims.map { _ in .unknown } : nil)]
      }
    }
    let reduced = try axes(given, isNoop: node.bool("noop_with_empty_axes", default: false), rank: dims.count)
    let result = dims.indices.compactMap { reduced.contains($0) ? keeps ? .known(1) : nil : dims[$0] }
    return [.tensor(x?.elementType, dimensions: result)]
  }

  package static var quantization: QuantizationTraits { .unary }
}

/// Where the elements of one result lie: axes that follow each other are one middle axis, others are moved to the end.
struct ReductionLayout {
  let result: [Int]
  /// The order of dimensions to bring the input into; nil when it can stay.
  let permutation: [Int]?
  let outer: Int
  let count: Int
  let inner: Int

  init(shape: [Int], axes: [Int], keepsDimensions: Bool) throws {
    let reduced = Set(axes)
    result = shape.indices.compactMap { reduced.contains($0) ? keepsDimensions ? 1 : nil : shape[$0] }
    try ShapeArithmetic.count(result)
    let moving = axes.filter { shape[$0] != 1 }.sorted()
    if let first = moving.first, let last = moving.last {
      let between = (first...last).filter { shape[$0] != 1 }
      count = moving.reduce(1) { $0 &* shape[$1] }
      if between == moving {
        permutation = nil
        outer = shape[..<first].reduce(1, &*)
        inner = shape[(last + 1)...].reduce(1, &*)
      } else {
        permutation = shape.indices.filter { !reduced.contains($0) } + axes.sorted()
        outer = shape.indices.reduce(1) { reduced.contains($1) ? $0 : $0 &* shape[$1] }
        inner = 1
      }
    } else {
      permutation = nil
      (outer, count, inner) = (shape.reduce(1, &*), 1, 1)
    }
  }
}

extension Reduction {
  func apply(_ input: Tensor, _ layout: ReductionLayout, _ context: EvaluationContext) throws -> Tensor {
    let x = layout.permutation.map { input.transposed($0, pool: context.pool) } ?? input
    switch x.elementType {
    case .float32: return try float32(x, layout, context)
    case .float16, .bfloat16:
      return try float32(x.widened(pool: context.pool), layout, context)
        .narrowed(to: x.elementType, pool: context.pool)
    case .float64: return float64(x, layout)
    case .int8: return try integer(x, Int8.self, layout)
    case .uint8: return try integer(x, UInt8.self, layout)
    case .int16: return try integer(x, Int16.self, layout)
    case .uint16: return try integer(x, UInt16.self, layout)
    case .int32: return try integer(x, Int32.self, layout)
    case .uint32: return try integer(x, UInt32.self, layout)
    case .int64: return try integer(x, Int64.self, layout)
    case .uint64: return try integer(x, UInt64.self, layout)
    case .bool:
      guard self == .max || self == .min else { throw unsupported(.bool) }
      let codes = try integer(x.reinterpreted(as: .uint8), UInt8.self, layout)
      // Of nothing, min gives true and max false.
      return Tensor(codes.array(UInt8.self).map { $0 != 0 }, shape: codes.shape)
    default: throw unsupported(x.elementType)
    }
  }

  private func float32(_ x: Tensor, _ layout: ReductionLayout, _ context: EvaluationContext) throws -> Tensor {
    func reduce(_ function: ReduceFunction, _ x: Tensor, shape: [Int]) throws -> Tensor {
      try x.withElements(Float.self) { source in
        try Tensor(of: Float.self, shape: shape, pool: context.pool) { out in
          try context.floatKernels.reduce(
            function, outer: layout.outer, count: layout.count, inner: layout.inner, source, into: out)
        }
      }
    }
    func map(_ function: UnaryFunction, _ x: Tensor) throws -> Tensor {
      try RealFunction(function) { $0 }.apply(x, context)
    }
    switch self {
    case .sum: return try reduce(.sum, x, shape: layout.result)
    case .mean: return try reduce(.mean, x, shape: layout.result)
    case .max: return try reduce(.max, x, shape: layout.result)
    case .min: return try reduce(.min, x, shape: layout.result)
    case .product: return try reduce(.product, x, shape: layout.result)
    case .magnitudes: return try reduce(.sumOfMagnitudes, x, shape: layout.result)
    case .squares: return try reduce(.sumOfSquares, x, shape: layout.result)
    case .euclidean: return try map(.sqrt, reduce(.sumOfSquares, x, shape: layout.result))
    case .logSum: return try map(.log, reduce(.sum, x, shape: layout.result))
    case .logSumExp:
      let largest = try reduce(.max, x, shape: [layout.outer, 1, layout.inner])
      // An infinite maximum is left to the exponentials.
      let shift = Tensor(largest.array(Float.self).map { $0.isFinite ? $0 : 0 }, shape: largest.shape)
      let matrix = x.reshaped([layout.outer, layout.count, layout.inner])
      let powers = try map(.exp, BinaryKernel.apply(.subtract, matrix, shift, context))
      let sum = try map(.log, reduce(.sum, powers, shape: shift.shape))
      return try BinaryKernel.apply(.add, sum, shift, context).reshaped(layout.result)
    }
  }

  private func float64(_ x: Tensor, _ layout: ReductionLayout) -> Tensor {
    let count = Double(layout.count)
    func fold(_ initial: Double, _ op: (Double, Double) -> Double) -> Tensor {
      Self.fold(x, Double.self, layout, initial, op)
    }
    func map(_ x: Tensor, _ function: (Double) -> Double) -> Tensor {
      Tensor(x.array(Double.self).map(function), shape: x.shape)
    }
    switch self {
    case .sum: return fold(0, +)
    case .mean: return map(fold(0, +)) { $0 / count }
    case .max: return fold(-.infinity, Max.Step.real)
    case .min: return fold(.infinity, Min.Step.real)
    case .product: return fold(1, *)
    case .magnitudes: return fold(0) { $0 + $1.magnitude }
    case .squares: return fold(0) { $0 + $1 * $1 }
    case .euclidean: return map(fold(0) { $0 + $1 * $1 }) { $0.squareRoot() }
    case .logSum: return map(fold(0, +)) { log($0) }
    case .logSumExp:
      // The largest so far and the sum relative to it would need two values; powers are exact enough from the maximum.
      let largest = fold(-.infinity, Max.Step.real).array(Double.self).map { $0.isFinite ? $0 : 0 }
      var result = [Double](repeating: 0, count: largest.count)
      x.withElements(Double.self) { source in
        for o in 0..<layout.outer {
          for n in 0..<layout.count {
            for i in 0..<layout.inner {
              let target = o * layout.inner + i
              result[target] += exp(source[(o * layout.count + n) * layout.inner + i] - largest[target])
            }
          }
        }
      }
      return Tensor(zip(result, largest).map { log($0) + $1 }, shape: layout.result)
    }
  }

  private func integer<T: FixedWidthInteger & TensorElement>(
    _ x: Tensor, _: T.Type, _ layout: ReductionLayout
  ) throws -> Tensor {
    switch self {
    case .sum: return Self.fold(x, T.self, layout, 0) { $0 &+ $1 }
    case .max: return Self.fold(x, T.self, layout, T.min) { Swift.max($0, $1) }
    case .min: return Self.fold(x, T.self, layout, T.max) { Swift.min($0, $1) }
    case .product: return Self.fold(x, T.self, layout, 1) { $0 &* $1 }
    case .magnitudes: return Self.fold(x, T.self, layout, 0) { $0 &+ ($1 < 0 ? 0 &- $1 : $1) }
    case .squares: return Self.fold(x, T.self, layout, 0) { $0 &+ $1 &* $1 }
    case .mean:
      let count = T(truncatingIfNeeded: layout.count)
      let sums = Self.fold(x, T.self, layout, 0) { $0 &+ $1 }.array(T.self)
      return Tensor(sums.map { Div.integer($0, count) }, shape: layout.result)
    case .euclidean, .logSum, .logSumExp:
      return try ElementCast().apply(float64(ElementCast().apply(x, to: .float64), layout), to: x.elementType)
    }
  }

  @inline(__always)
  private static func fold<T: TensorElement>(
    _ x: Tensor, _: T.Type, _ layout: ReductionLayout, _ initial: T, _ op: (T, T) -> T
  ) -> Tensor {
    let (outer, count, inner) = (layout.outer, layout.count, layout.inner)
    return x.withElements(T.self) { source in
      Tensor(of: T.self, shape: layout.result) { out in
        out.update(repeating: initial)
        for o in 0..<outer {
          if inner == 1 {
            var value = initial
            for n in 0..<count { value = op(value, source[o &* count &+ n]) }
            out[o] = value
          } else {
            for n in 0..<count {
              let row = (o &* count &+ n) &* inner
              for i in 0..<inner { out[o &* inner &+ i] = op(out[o &* inner &+ i], source[row &+ i]) }
            }
          }
        }
      }
    }
  }
}
