import ONNXTensor

/// Parts of a tensor from `starts` to `ends` in `steps` on `axes`; numbers out of range are clamped. Opsets 1–13;
/// attributes before opset 10.
package enum SliceOperator: Operator {
  package static var opType: String { "Slice" }

  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let attributes = node.opset < 10 ? try attributes(node) : nil
    return .tensors { inputs, context in
      let x = try inputs[0]
      let ranges =
        try attributes
        ?? Ranges(
          starts: inputs[1].integers("starts"), ends: inputs[2].integers("ends"),
          axes: inputs.optional(3)?.integers("axes"), steps: inputs.optional(4)?.integers("steps"))
      let cuts = try ranges.cuts(rank: x.rank) { x.shape[$0] }
      var strides = ShapeArithmetic.strides(x.shape)
      var shape = x.shape
      var offset = 0
      for (axis, cut) in cuts {
        guard let cut else { continue }
        offset += cut.count > 0 ? cut.start * strides[axis] : 0
        shape[axis] = cut.count
        strides[axis] = strides[axis] &* cut.step
      }
      if shape == x.shape && cuts.allSatisfy({ $0.1?.step == 1 }) { return x }
      return try DenseElements.apply(x) {
        $0.gathered(shape: shape, strides: strides, offset: offset, pool: context.pool)
      }
    }
  }

  private static func attributes(_ node: OperatorNode) throws -> Ranges {
    guard let starts = try node.ints("starts"), let ends = try node.ints("ends") else {
      throw OperatorError("attribute 'starts' or 'ends' is missing")
    }
    return Ranges(starts: starts, ends: ends, axes: try node.ints("axes"), steps: nil)
  }

  struct Ranges {
    var starts: [Int]
    var ends: [Int]
    var axes: [Int]?
    var steps: [Int]?

    struct Cut {
      let start: Int
      let step: Int
      let count: Int
    }

    /// The cut of each axis that is named; nil where its extent is unknown.
    func cuts(rank: Int, _ extent: (Int) -> Int?) throws -> [(Int, Cut?)] {
      let axes = try ShapeArithmetic.axes(axes ?? Array(0..<max(starts.count, 0)), rank: rank)
      guard ends.count == starts.count, axes.count == starts.count, steps.map({ $0.count == starts.count }) ?? true
      else { throw OperatorError("'starts', 'ends', 'axes' and 'steps' have different lengths") }
      return try axes.enumerated().map { index, axis in
        let step = steps?[index] ?? 1
        guard step != 0 else { throw OperatorError("a step is 0") }
        guard let extent = extent(axis) else { return (axis, nil) }
        let start = Self.clamp(starts[index], extent, forward: step > 0)
        let end = Self.clamp(ends[index], extent, forward: step > 0)
        // Steps as long as the extent behave alike, and do not overflow.
        let stride = step.clamped(to: -max(extent, 1)...max(extent, 1))
        let span = stride > 0 ? end - start : start - end
        let count = span <= 0 ? 0 : (span + abs(stride) - 1) / abs(stride)
        return (axis, Cut(start: start, step: stride, count: count))
      }
    }

    private static func clamp(_ index: Int, _ extent: Int, forward: Bool) -> Int {
      let position = index < 0 ? index.addingReportingOverflow(extent).partialValue : index
      return forward ? min(max(position, 0), extent) : min(max(position, -1), extent - 1)
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    if let folded = ShapeInference.folded(Self.self, node, inputs) { return folded }
    let x = ShapeInference.input(inputs, 0)
    guard var dims = x?.dimensions else { return [.tensor(x?.elementType, dimensions: nil)] }
    let unknown = [InferredValue.tensor(x?.elementType, dimensions: dims.map { _ in .unknown })]
    let ranges: Ranges
    if node.opset < 10 {
      ranges = try attributes(node)
    } else {
      let axes = ShapeInference.integers(inputs, 3)
      if node.hasInput(3) && axes == nil { return unknown }
      guard let starts = ShapeInference.integers(inputs, 1), let ends = ShapeInference.integers(inputs, 2),
        !node.hasInput(4) || ShapeInference.integers(inputs, 4) != nil
      else {
        // Only the named axes change.
        guard let axes else { return unknown }
        for axis in try ShapeArithmetic.axes(axes, rank: dims.count) { dims[axis] = .unknown }
        return [.tensor(x?.elementType, dimensions: dims)]
      }
      ranges = Ranges(starts: starts, ends: ends, axes: axes, steps: ShapeInference.integers(inputs, 4))
    }
    for (axis, cut) in try ranges.cuts(rank: dims.count, { dims[$0].known }) {
      dims[axis] = cut.map { .known($0.count) } ?? .unknown
    }
    return [.tensor(x?.elementType, dimensions: dims)]
  }

  package static var quantization: QuantizationTraits { .movement }
}

extension Int {
  func clamped(to range: ClosedRange<Int>) -> Int { Swift.min(Swift.max(self, range.lowerBound), range.upperBound) }
}
