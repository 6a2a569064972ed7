import ONNXGraph

/// Brings a model to the lowest opset that a result needs, or to the one that was asked for, within what the target reads.
///
/// A model above what the target reads is lowered where that changes no node, else refused with the reason.
package struct SettleOpset: Pass {
  /// The lowest opset of the result.
  let needed: Int
  /// What the caller asks for; nil for the lowest that does.
  let requested: Int?
  let target: TargetPreset
  let shape: (String) -> [Int]?

  package init(
    needed: Int, requested: Int? = nil, target: TargetPreset, shape: @escaping (String) -> [Int]? = { _ in nil }
  ) {
    self.needed = needed
    self.requested = requested
    self.target = target
    self.shape = shape
  }

  package func run(on model: Model) throws -> [JournalEntry] {
    let current = model.opset() ?? 1
    if let requested {
      guard requested >= needed else {
        throw PassError(
          .badOption, "opset \(requested) is too low: the result needs opset \(needed)",
          advice: "ask for \(needed) or more, or leave the choice to onnxq")
      }
      if let highest = target.highestOpset, requested > highest {
        throw PassError(
          .badOption, "opset \(requested) is too high: \(target.name) reads opsets up to \(highest)",
          advice: "ask for \(highest) or less")
      }
      guard requested < current else {
        return try RaiseOpset(to: requested, reason: "opset \(requested) was asked for", shape: shape).run(on: model)
      }
      return try LowerOpset(to: requested, reason: "opset \(requested) was asked for").run(on: model)
    }
    if let highest = target.highestOpset, current > highest {
      return try LowerOpset(to: highest, reason: "\(target.name) reads opsets up to \(highest)").run(on: model)
    }
    return try RaiseOpset(to: needed, shape: shape).run(on: model)
  }
}
