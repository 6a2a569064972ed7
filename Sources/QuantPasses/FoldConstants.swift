import ONNXGraph
import ONNXTensor

/// Makes initializers of weights and biases that are computed from constants: Constant, Identity, Transpose, Reshape,
/// Flatten, Squeeze and Unsqueeze before an operand of Conv, ConvTranspose, Gemm, MatMul or BatchNormalization.
///
/// Nothing else is folded, and the model never grows: the computed value takes the place of the constant it came from
/// unless others read that too.
package struct FoldConstants: Pass {
  package init() {}

  package func run(on model: Model) throws -> [JournalEntry] {
    var journal: [JournalEntry] = []
    for (graph, outer, _) in model.graph.enclosedGraphs() { journal += try fold(graph, within: outer, of: model) }
    return journal
  }

  private func fold(_ graph: Graph, within outer: [Graph], of model: Model) throws -> [JournalEntry] {
    let constants = Constants(graph: graph, outer: outer)
    let members = Set(graph.nodes)
    // What a graph returns is no use of a node.
    let returned = Set(graph.allGraphs.flatMap { $0.outputs.map(\.value) })
    var patch = GraphPatch(model, graph: graph)
    var folded: [Value: Tensor] = [:]
    var removed = Set<Node>()

    func value(of input: Value) -> Tensor? {
      if let known = folded[input] { return known }
      if let literal = graph.initializer(for: input) { return try? literal.tensor() }
      guard let node = input.producer, node.isStandard else { return nil }
      if node.opType == "Constant" { return constants.tensor(input) }
      guard ConstantRewriting.operators.contains(node.opType), let source = node.input(0), let data = value(of: source)
      else { return nil }
      return ConstantRewriting.apply(node, to: data, parameter: node.input(1).flatMap(value))
    }

    for node in graph.nodes where node.isStandard {
      for index in foldable(node) {
        guard let input = node.input(index), let producer = input.producer, producer.isStandard, folded[input] == nil,
          producer.opType == "Constant" || ConstantRewriting.operators.contains(producer.opType),
          producer.outputs.count == 1, members.contains(producer), !returned.contains(input),
          let tensor = value(of: input)
        else { continue }
        folded[input] = tensor
        removed.insert(producer)
        var edits: [GraphPatch.Edit] = [
          .remove(producer), .addInitializer(input, TensorLiteral(name: input.name, tensor)),
        ]
        // What only the removed nodes read goes as well.
        var queue = producer.inputs.compactMap { $0 }
        while let source = queue.popLast() {
          guard source.uses.allSatisfy({ removed.contains($0.node) }), !returned.contains(source) else { continue }
          if graph.initializer(for: source) != nil {
            if graph.isInput(source) { edits.append(.removeGraphInput(source)) }
            edits.append(.removeInitializer(source))
          } else if let next = source.producer, members.contains(next), next.outputs.count == 1, folded[source] == nil,
            removed.insert(next).inserted
          {
            edits.append(.remove(next))
            queue += next.inputs.compactMap { $0 }
          }
        }
        patch.add(
          JournalEntry(
            rule: "F03", reason: "it is computed from constants alone and feeds a weighted operator",
            subject: .tensor(input.name), action: "made an initializer"),
          edits)
      }
    }
    return try patch.apply()
  }

  private func foldable(_ node: Node) -> Range<Int> {
    switch node.opType {
    case "Conv", "ConvTranspose", "Gemm": 1..<3
    case "MatMul": 0..<2
    case "BatchNormalization": 1..<5
    default: 0..<0
    }
  }
}

/// Operators that only rearrange elements, on constants.
enum ConstantRewriting {
  static let operators: Set<String> = ["Identity", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze"]

  static func apply(_ node: Node, to data: Tensor, parameter: Tensor?) -> Tensor? {
    guard data.strings == nil, data.elementType.bitWidth >= 8 else { return nil }
    switch node.opType {
    case "Identity": return data
    case "Transpose":
      let axes = node.ints("perm") ?? Array((0..<data.rank).reversed())
      return axes.sorted() == Array(0..<data.rank) ? transpose(data, axes) : nil
    case "Reshape": return parameter?.integers.flatMap { reshape(data, to: $0, node) }
    case "Flatten":
      guard let axis = normalized(node.int("axis") ?? 1, rank: data.rank + 1) else { return nil }
      return data.reshaped([data.shape[..<axis].reduce(1, *), data.shape[axis...].reduce(1, *)])
    case "Squeeze", "Unsqueeze":
      let axes = node.ints("axes") ?? parameter?.integers
      if node.opType == "Squeeze" {
        guard let axes else { return data.reshaped(data.shape.filter { $0 != 1 }) }
        let dropped = axes.compactMap { normalized($0, rank: data.rank) }
        guard dropped.count == axes.count, dropped.allSatisfy({ data.shape[$0] == 1 }) else { return nil }
        return data.reshaped(data.shape.enumerated().filter { !dropped.contains($0.offset) }.map(\.element))
      }
      guard let axes else { return nil }
      let rank = data.rank + axes.count
      let added = Set(axes.compactMap { normalized($0, rank: rank) })
      guard added.count == axes.count else { return nil }
      var rest = data.shape.makeIterator()
      return data.reshaped((0..<rank).map { added.contains($0) ? 1 : rest.next() ?? 1 })
    default: return nil
    }
  }

  private static func normalized(_ axis: Int, rank: Int) -> Int? {
    let index = axis < 0 ? axis + rank : axis
    return index >= 0 && index < rank ? index : nil
  }

  private static func reshape(_ data: Tensor, to wanted: [Int], _ node: Node) -> Tensor? {
    guard node.int("allowzero") ?? 0 == 0 else { return nil }
    var shape: [Int] = []
    for (index, extent) in wanted.enumerated() {
      guard extent != 0 || index < data.rank, extent >= -1 else { return nil }
      shape.append(extent == 0 ? data.shape[index] : extent)
    }
    if let open = shape.firstIndex(of: -1) {
      var known = 1
      for (index, extent) in shape.enumerated() where index != open {
        let (product, overflow) = known.multipliedReportingOverflow(by: extent)
        if overflow || extent < 0 { return nil }
        known = product
      }
      guard known > 0, data.count % known == 0 else { return nil }
      shape[open] = data.count / known
    }
    var count = 1
    for extent in shape {
      let (product, overflow) = count.multipliedReportingOverflow(by: extent)
      if overflow { return nil }
      count = product
    }
    return count == data.count ? data.reshaped(shape) : nil
  }

  static func transpose(_ data: Tensor, _ axes: [Int]) -> Tensor {
    let width = data.elementType.bitWidth / 8
    var strides = [Int](repeating: width, count: data.rank)
    for axis in stride(from: data.rank - 2, through: 0, by: -1) {
      strides[axis] = strides[axis + 1] * data.shape[axis + 1]
    }
    let shape = axes.map { data.shape[$0] }
    let steps = axes.map { strides[$0] }
    return Tensor(data.elementType, shape: shape) { result in
      data.withBytes { source in
        guard result.count > 0, let from = source.baseAddress, let to = result.baseAddress else { return }
        var index = [Int](repeating: 0, count: shape.count)
        var offset = 0
        for position in stride(from: 0, to: result.count, by: width) {
          (to + position).copyMemory(from: from + offset, byteCount: width)
          var axis = shape.count - 1
          while axis >= 0 {
            index[axis] += 1
            offset += steps[axis]
            if index[axis] < shape[axis] { break }
            offset -= steps[axis] * shape[axis]
            index[axis] = 0
            axis -= 1
          }
        }
      }
    }
  }
}
