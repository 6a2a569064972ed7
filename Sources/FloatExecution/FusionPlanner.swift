import FloatKernels
import ONNXGraph
import ONNXTensor
import OperatorLibrary

/// Finds the products whose next nodes their kernel can do on the way out: additions, then one elementwise function.
///
/// A joined node's value is read by joined nodes alone, so nothing that a run gives back is missing. What is joined
/// does not depend on shapes; a kernel that does not take the shapes of a run leaves it to the nodes themselves.
struct FusionPlanner {
  private let prepared: [ExecutionPlan.Prepared]
  private let constants: [Int: Tensor]
  private let context: PlanContext
  /// Indices of the nodes that read a slot, once for each; slots that are read elsewhere are in `kept`.
  private var readers: [Int: [Int]] = [:]
  private var kept: Set<Int>

  private struct Group {
    var members: [Int]
    var addends: [Int] = []
    var activation: UnaryFunction?
    var output: Int
  }

  init(_ prepared: [ExecutionPlan.Prepared], kept: Set<Int>, constants: [Int: Tensor], context: PlanContext) {
    self.prepared = prepared
    self.kept = kept
    self.constants = constants
    self.context = context
    for (index, item) in prepared.enumerated() {
      for slot in item.reads where readers[slot]?.last != index { readers[slot, default: []].append(index) }
      self.kept.formUnion(item.reads.dropFirst(item.step.inputs.count { $0 != nil }))
    }
  }

  /// The steps with every group in the place of its last node.
  func joined() -> [ExecutionPlan.Prepared] {
    // Without an opset for ai.onnx its nodes fail, and a model's own function of such a name goes before ours.
    if context.opsets[""] == nil || context.model.functions.contains(where: { ($0.domain ?? "").isEmpty }) {
      return prepared
    }
    var taken = Set<Int>()
    var groups: [Int: ExecutionPlan.Prepared] = [:]
    // From the end, so that of two products that are added the later one takes the addition.
    for index in prepared.indices.reversed()
    where ["Conv", "Gemm", "MatMul"].contains(prepared[index].step.node.opType) {
      guard let group = group(from: index, taken), let last = group.members.last,
        let kernel = FusedKernel(operatorNode(index), activation: group.activation)
      else { continue }
      taken.formUnion(group.members)
      let product = prepared[index].step
      groups[last] = ExecutionPlan.Prepared(
        step: ExecutionPlan.Step(
          node: product.node, kernel: product.kernel, inputs: product.inputs, outputs: [group.output],
          fusion: ExecutionPlan.Fusion(
            kernel: kernel, addends: group.addends, parts: group.members.map { prepared[$0].step })),
        reads: product.inputs.compactMap { $0 } + group.addends)
    }
    return prepared.indices.compactMap { groups[$0] ?? (taken.contains($0) ? nil : prepared[$0]) }
  }

  private func group(from index: Int, _ taken: Set<Int>) -> Group? {
    guard prepared[index].step.outputs.count == 1, let slot = prepared[index].step.outputs[0] else { return nil }
    var group = Group(members: [index], output: slot)
    let takesAddends = prepared[index].step.node.opType != "Gemm"
    while let next = extended(group, taken, takesAddends: takesAddends) {
      group = next
      if group.activation != nil { break }
    }
    return group.members.count > 1 ? group : nil
  }

  private func extended(_ group: Group, _ taken: Set<Int>, takesAddends: Bool) -> Group? {
    let slot = group.output
    guard !kept.contains(slot), let next = readers[slot], next.allSatisfy({ !taken.contains($0) }) else { return nil }
    var result = group
    if next.count == 1, let output = onlyOutput(next[0]) {
      let step = prepared[next[0]].step
      result.members.append(next[0])
      result.output = output
      if isPlain(step, "Add") {
        guard takesAddends, group.addends.count < 2, let other = otherInput(step, than: slot) else { return nil }
        result.addends.append(other)
        return result
      }
      guard step.inputs.first == slot, let activation = FusedKernel.activation(of: operatorNode(next[0])) else {
        return nil
      }
      result.activation = activation
      return result
    }
    // x sigmoid(x).
    guard next.count == 2, let gate = onlyOutput(next[0]), let output = onlyOutput(next[1]),
      isPlain(prepared[next[0]].step, "Sigmoid"), isPlain(prepared[next[1]].step, "Mul"),
      otherInput(prepared[next[1]].step, than: slot) == gate, readers[gate] == [next[1]], !kept.contains(gate)
    else { return nil }
    result.members += next
    result.output = output
    result.activation = .swish(1)
    return result
  }

  private func operatorNode(_ index: Int) -> OperatorNode {
    let step = prepared[index].step
    return OperatorNode(
      step.node, opset: context.opsets[step.node.canonicalDomain] ?? 1,
      constants: step.inputs.map { $0.flatMap { constants[$0] } })
  }

  /// Opset 7 on: operands broadcast without attributes.
  private func isPlain(_ step: ExecutionPlan.Step, _ opType: String) -> Bool {
    step.node.canonicalDomain.isEmpty && step.node.opType == opType && context.opsets["", default: 1] >= 7
  }

  private func onlyOutput(_ index: Int) -> Int? {
    let outputs = prepared[index].step.outputs
    return outputs.count == 1 ? outputs[0] : nil
  }

  /// The other of two operands; nil where both are the same.
  private func otherInput(_ step: ExecutionPlan.Step, than slot: Int) -> Int? {
    guard step.inputs.count == 2, let first = step.inputs[0], let second = step.inputs[1], first != second else {
      return nil
    }
    return first == slot ? second : second == slot ? first : nil
  }
}
