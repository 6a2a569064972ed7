import FloatKernels
import ONNXGraph
import ONNXTensor

/// exp(x) / sum of exp(x) along an axis. Opsets 1 and 11 (all axes from `axis` on together), 13 (one axis).
enum Softmax: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel { try SoftmaxFamily.kernel(node, .probabilities) }
  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] { [inputs.like(0)] }
  static var quantization: QuantizationTraits { .unary }
}

/// The logarithm of `Softmax`. Opsets 1, 11, 13.
enum LogSoftmax: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel { try SoftmaxFamily.kernel(node, .logarithms) }
  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] { [inputs.like(0)] }
  static var quantization: QuantizationTraits { .unary }
}

/// 1 at the first largest element along an axis, 0 elsewhere. Opsets 1, 11, 13.
enum Hardmax: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel { try SoftmaxFamily.kernel(node, .largest) }
  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] { [inputs.like(0)] }
}

enum SoftmaxFamily {
  enum Form { case probabilities, logarithms, largest }

  static func kernel(_ node: OperatorNode, _ form: Form) throws -> Kernel {
    let isFlattening = node.opset < 13
    let axis = try node.int("axis", default: isFlattening ? 1 : -1)
    return .tensors { inputs, context in
      let x = try inputs[0]
      var split: AxisSplit
      if x.rank == 0 {
        guard axis == 0 || axis == -1 else { throw OperatorError("axis \(axis) does not fit a scalar") }
        split = AxisSplit(outer: 1, count: 1, inner: 1)
      } else if isFlattening {
        let first = axis == x.rank ? axis : try CheckedSize.axis(axis, rank: x.rank)
        split = AxisSplit(outer: extent(x.shape[..<first]), count: extent(x.shape[first...]), inner: 1)
      } else {
        split = try AxisSplit(x.shape, axis: axis)
      }
      if x.elementType == .float32, form != .largest {
        return try context.tensor(of: Float.self, shape: x.shape) { y in
          try x.withElements(Float.self) {
            try context.backend.softmax(
              logarithm: form == .logarithms, outer: split.outer, count: split.count, inner: split.inner, $0, into: y)
          }
        }
      }
      return try run(try x.elementType.computeType(), x, split, form)
    }
  }

  @_specialize(where T == Float)
  private static func run<T: ComputeReal>(_ type: T.Type, _ x: Tensor, _ split: AxisSplit, _ form: Form) throws
    -> Tensor
  {
    var y = try x.reals(T.self)
    let isNarrow = x.elementType == .float16 || x.elementType == .bfloat16
    if isNarrow && form == .probabilities && split.inner == 1 {
      AttentionCore.softmax(&y, count: split.count, rounding: x.elementType, maskedRow: .nan)
    } else {
      apply(&y, split, form)
    }
    return try Tensor(reals: y, as: x.elementType, shape: x.shape)
  }

  static func apply<T: ComputeReal>(_ y: inout [T], _ split: AxisSplit, _ form: Form) {
    split.forEachLine { line in
      var best = -T.infinity
      var bestIndex: Int?
      for index in line where y[index] > best || bestIndex == nil || y[index].isNaN {
        if best.isNaN { break }
        (best, bestIndex) = (y[index], index)
      }
      if form == .largest {
        for index in line { y[index] = index == bestIndex ? 1 : 0 }
        return
      }
      var sum: T = 0
      for index in line {
        let shifted = y[index] - best
        let power = T.exp(shifted)
        sum += power
        y[index] = form == .probabilities ? power : shifted
      }
      let logarithm = form == .logarithms ? T.log(sum) : 0
      for index in line { y[index] = form == .probabilities ? y[index] / sum : y[index] - logarithm }
    }
  }
}
