import ONNXGraph
import ONNXTensor
import QuantCore

extension Insertion {
  struct WeightKey: Hashable {
    let value: Value
    let axis: Int?
    let scheme: QuantizationScheme
  }

  mutating func quantizeWeights() throws {
    var users: [WeightKey: [PlacementPlan.Weight]] = [:]
    var order: [WeightKey] = []
    for weight in plan.weights {
      guard let value = weight.node.input(weight.index) else { continue }
      let entry = overrides.weights(value, of: weight.node)
      let scheme = entry?.weights?.applied(to: target.weights) ?? target.weights
      let axis = entry?.isPerChannel == false ? nil : weight.axis
      let key = WeightKey(value: value, axis: axis, scheme: scheme)
      if users[key] == nil { order.append(key) }
      users[key, default: []].append(weight)
    }
    for key in order {
      guard let readers = users[key], let first = readers.first, let stored = view.constants.tensor(key.value),
        let exact = stored.single
      else { continue }
      let quantizer = WeightQuantizer(
        scheme: key.scheme, axis: key.axis, smallestScales: smallestScales(readers, exact, axis: key.axis))
      let grid = try quantizer.parameters(for: exact).rounded(to: stored.elementType)
      let codes = try quantizer.quantize(exact, grid)
      let rounded = try grid.dequantize(codes)
      let rule = key.scheme.isReduced ? PlacementRule.reducedWeight : .weight
      let value = try insertConstant(
        key.value, codes, grid, stored.elementType, rule, before: first.node,
        reason: readers.count > 1 ? "\(readers.count) operators share it" : rule.sentence)
      for weight in readers {
        let edge = Edge(node: weight.node, index: weight.index)
        rewire(edge, to: value)
        roundedWeights[edge] = (exact, rounded, grid)
      }
      report.decisions.append(
        Decision(
          tensor: key.value.name, rule: rule, reason: rule.sentence, parameters: grid,
          method: "weights"))
    }
  }

  /// Codes as an initializer behind DequantizeLinear.
  mutating func insertConstant(
    _ old: Value, _ codes: Tensor, _ grid: QuantizationParameters, _ type: ElementType, _ rule: PlacementRule,
    before node: Node, reason: String
  ) throws -> Value {
    let base = old.name
    let (scale, zeroPoint, edits) = try gridValues(base, grid, type)
    let (stored, edit) = constant("\(base)_quantized", codes)
    let result = Value(names.unique("\(base)_DequantizeLinear_Output"), type: .tensor(type, codes.shape))
    let dequantize = NodeBlueprint(
      "DequantizeLinear", name: names.unique("\(base)_DequantizeLinear"), inputs: [stored, scale, zeroPoint],
      outputs: [result], attributes: grid.axis.map { [Attribute("axis", int: $0)] } ?? [])
    patch.add(
      JournalEntry(rule: rule.id, reason: reason, subject: .tensor(base), action: "stored as \(grid.elementType.name)"),
      [edit] + edits + [.insert(dequantize, .before(node))])
    report.pairs += 1
    return result
  }

  /// What the bias needs in an integer kernel, stored as int32 or as float: |b| must be within 2^30 steps of s_x·s_w, which
  /// leaves room for the products, and s_x·s_w must be a normal number. Weights of a channel that this coarsens are too
  /// small to matter beside its bias.
  func smallestScales(_ readers: [PlacementPlan.Weight], _ exact: Tensor, axis: Int?) -> [Float]? {
    let channels = axis.map { exact.shape[$0] } ?? 1
    var smallest = [Float](repeating: 0, count: channels)
    for weight in readers {
      guard let operation = plan.weighted.first(where: { $0.node == weight.node }),
        let input = weight.node.input(operation.input), let grid = parameters[view.tensor(input)], grid.axis == nil
      else { continue }
      let scale = Double(grid.scale)
      let biases = operation.bias.flatMap { edge in
        edge.node.input(edge.index).flatMap { view.constants.floats(view.tensor($0)) }
      }
      for channel in 0..<channels {
        var least = Double(Float.leastNormalMagnitude) * 2 / scale
        if let biases, !biases.isEmpty {
          let magnitude =
            biases.count == channels
            ? biases[channel].magnitude : biases.map(\.magnitude).max() ?? 0
          least = max(least, 1.0001 * 4 * Double(magnitude) / (4_294_967_294 * scale))
        }
        smallest[channel] = max(smallest[channel], Float(min(least, Double(Float.greatestFiniteMagnitude))))
      }
    }
    return smallest
  }
}
