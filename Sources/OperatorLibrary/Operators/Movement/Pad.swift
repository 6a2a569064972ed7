import ONNXGraph
import ONNXTensor

/// Elements added around (or, with negative pads, cut off) a tensor. Modes constant, reflect, edge, wrap. Opsets 1–25;
/// attributes before opset 11.
package enum Pad: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let mode = try mode(node)
    let attribute = try attribute(node)
    let value = node.opset < 11 ? try node.float("value", default: 0) : 0
    return .tensors { inputs, context in
      let x = try inputs[0]
      let pads =
        try attribute.map { try order($0, axes: nil, rank: x.rank) }
        ?? order(inputs[1].integers("pads"), axes: inputs.optional(3)?.integers("axes"), rank: x.rank)
      let fill: Tensor
      if node.opset < 11 {
        fill = try ElementCast().apply(Tensor(scalar: value), to: x.elementType)
      } else {
        fill = try inputs.optional(2) ?? Tensor.zeros(x.elementType, shape: [])
      }
      guard fill.count == 1 else { throw OperatorError("the constant value has shape \(fill.shape)") }
      let shape = try zip(x.shape, pads).map { extent, pad in
        let total = try ShapeArithmetic.sum(ShapeArithmetic.sum(extent, pad.0), pad.1)
        guard total >= 0, pad.0 >= -extent, pad.1 >= -extent else {
          throw OperatorError("pads cut more than there is: \(pads) of \(x.shape)")
        }
        return total
      }
      try ShapeArithmetic.check(shape, x.elementType)
      if mode != "constant" {
        for axis in shape.indices where x.shape[axis] == 0 && shape[axis] > 0 {
          throw OperatorError("mode '\(mode)' has nothing to pad with on axis \(axis)")
        }
      }
      return try DenseElements.apply([x, fill.reshaped([])]) { parts in
        mode == "constant"
          ? constant(parts[0], parts[1], pads, shape, context) : mapped(parts[0], pads, shape, mode, context)
      }
    }
  }

  private static func mode(_ node: OperatorNode) throws -> String {
    let mode = try node.string("mode", default: "constant")
    guard ["constant", "reflect", "edge", "wrap"].contains(mode) else {
      throw OperatorError("attribute 'mode' is '\(mode)'")
    }
    return mode
  }

  private static func attribute(_ node: OperatorNode) throws -> [Int]? {
    guard node.opset < 11 else { return nil }
    guard let pads = try node.ints("pads") ?? node.ints("paddings") else {
      throw OperatorError("attribute 'pads' is missing")
    }
    return pads
  }

  /// Begin and end for every axis.
  private static func order(_ pads: [Int], axes: [Int]?, rank: Int) throws -> [(Int, Int)] {
    let axes = try ShapeArithmetic.axes(axes ?? Array(0..<rank), rank: rank)
    guard pads.count == 2 * axes.count else { throw OperatorError("\(pads.count) pads for \(axes.count) axes") }
    var result = Array(repeating: (0, 0), count: rank)
    for (index, axis) in axes.enumerated() { result[axis] = (pads[index], pads[axes.count + index]) }
    return result
  }

  private static func constant(
    _ x: Tensor, _ fill: Tensor, _ pads: [(Int, Int)], _ shape: [Int], _ context: EvaluationContext
  ) -> Tensor {
    Tensor(x.elementType, shape: shape, pool: context.pool) { out in
      guard let target = out.baseAddress, out.count > 0 else { return }
      let size = x.elementBytes
      fill.withBytes { value in
        guard let value = value.baseAddress else { return }
        StridedCopy(extents: [out.count / size], sourceStrides: [0], targetStrides: [1])
          .run(elementBytes: size, from: value, to: target)
      }
      let (own, strides) = (ShapeArithmetic.strides(x.shape), ShapeArithmetic.strides(shape))
      var (from, to) = (0, 0)
      var extents: [Int] = []
      for axis in shape.indices {
        let (begin, end) = pads[axis]
        extents.append(max(0, x.shape[axis] + min(begin, 0) + min(end, 0)))
        from += -min(begin, 0) * own[axis]
        to += max(begin, 0) * strides[axis]
      }
      guard !extents.contains(0) else { return }
      x.withBytes { source in
        guard let source = source.baseAddress else { return }
        StridedCopy(extents: extents, sourceStrides: own, targetStrides: strides)
          .run(elementBytes: size, from: source + from * size, to: target + to * size)
      }
    }
  }

  /// Axis after axis, so that each mode sees what the axes before it have added.
  private static func mapped(
    _ x: Tensor, _ pads: [(Int, Int)], _ shape: [Int], _ mode: String, _ context: EvaluationContext
  ) -> Tensor {
    var result = x
    for axis in shape.indices where pads[axis] != (0, 0) {
      let (outer, extent, inner) = ShapeArithmetic.split(result.shape, at: axis)
      var padded = result.shape
      padded[axis] = shape[axis]
      let positions = (0..<shape[axis]).map { source($0 - pads[axis].0, extent, mode) }
      let run = inner * x.elementBytes
      result = result.withBytes { bytes in
        Tensor(x.elementType, shape: padded, pool: context.pool) { out in
          guard var to = out.baseAddress, let from = bytes.baseAddress, out.count > 0 else { return }
          for block in 0..<outer {
            for position in positions {
              to.copyMemory(from: from + (block * extent + position) * run, byteCount: run)
              to += run
            }
          }
        }
      }
    }
    return result
  }

  private static func source(_ index: Int, _ extent: Int, _ mode: String) -> Int {
    switch mode {
    case "edge": return index.clamped(to: 0...extent - 1)
    case "wrap":
      let rest = index % extent
      return rest < 0 ? rest + extent : rest
    default:
      guard extent > 1 else { return 0 }
      let period = 2 * (extent - 1)
      var rest = index % period
      if rest < 0 { rest += period }
      return rest < extent ? rest : period - rest
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    if let folded = ShapeInference.folded(Self.self, node, inputs) { return folded }
    let x = ShapeInference.input(inputs, 0)
    guard let dims = x?.dimensions else { return [.tensor(x?.elementType, dimensions: nil)] }
    let unknown = [InferredValue.tensor(x?.elementType, dimensions: dims.map { _ in .unknown })]
    var axes: [Int]?
    if node.hasInput(3) {
      axes = ShapeInference.integers(inputs, 3)
      if axes == nil { return unknown }
    }
    guard let given = try attribute(node) ?? ShapeInference.integers(inputs, 1) else { return unknown }
    let pads = try order(given, axes: axes, rank: dims.count)
    let result = try zip(dims, pads).map { dim, pad -> Dimension in
      if pad == (0, 0) { return dim }
      guard let extent = dim.known else { return .unknown }
      return .known(try ShapeArithmetic.sum(ShapeArithmetic.sum(extent, pad.0), pad.1))
    }
    return [.tensor(x?.elementType, dimensions: result)]
  }

  package static var quantization: QuantizationTraits { .movement }
}
