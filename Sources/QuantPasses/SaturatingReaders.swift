import Glibc
import ONNXGraph
import QuantCore

/// The part of a tensor's range that its readers can tell apart.
///
/// SiLU of everything far below zero is nearly zero, Sigmoid and Tanh are flat on both sides: a grid that spends codes
/// there has none left for the rest. Values that are cut off change the result of the reader by at most `tolerance`.
struct SaturatingReaders {
  let view: QuantizationView

  /// nil where a reader tells all values apart, or the tensor leaves the graph.
  func distinguished(_ tensor: Value, tolerance: Double) -> ValueRange? {
    guard tolerance > 0, !view.outputs.contains(tensor), let uses = view.uses[tensor], !uses.isEmpty else { return nil }
    var lower = Double.infinity
    var upper = -Double.infinity
    for use in uses {
      guard use.index >= 0, use.node.isStandard, let output = use.node.output(0) else { return nil }
      switch use.node.opType {
      case "Sigmoid" where isSiLU(output, of: tensor):
        // Read by the Mul beside it only: what counts is the product.
        (lower, upper) = (min(lower, Self.siluFloor(tolerance)), .infinity)
      case "Mul" where use.node.inputs.count == 2:
        guard let other = use.node.input(1 - use.index), let gate = view.producer(view.tensor(other)),
          gate.isStandard("Sigmoid"), gate.input(0).map(view.tensor) === tensor
        else { return nil }
        (lower, upper) = (min(lower, Self.siluFloor(tolerance)), .infinity)
      case "Sigmoid":
        // 1 - sigmoid(x) = sigmoid(-x) < exp(-x).
        let bound = max(0, -log(min(tolerance, 0x1p-10)))
        (lower, upper) = (min(lower, -bound), max(upper, bound))
      case "Tanh":
        // 1 - tanh(x) < 2 exp(-2x).
        let bound = max(0, -log(min(tolerance, 0x1p-10) / 2) / 2)
        (lower, upper) = (min(lower, -bound), max(upper, bound))
      case "HardSwish": (lower, upper) = (min(lower, -3), .infinity)
      default: return nil
      }
    }
    return ValueRange(
      Float(max(lower, -Double(Float.greatestFiniteMagnitude))),
      Float(min(upper, Double(Float.greatestFiniteMagnitude))))
  }

  /// All readers of the gate multiply it with the tensor that it came from.
  private func isSiLU(_ gate: Value, of tensor: Value) -> Bool {
    guard let uses = view.uses[view.tensor(gate)], !uses.isEmpty, !view.outputs.contains(view.tensor(gate)) else {
      return false
    }
    return uses.allSatisfy { use in
      use.index >= 0 && use.node.isStandard("Mul") && use.node.inputs.count == 2
        && use.node.input(1 - use.index).map(view.tensor) === tensor
    }
  }

  /// The x below the minimum of SiLU (at -1.278) from which on downwards |x / (1 + exp(-x))| stays within `tolerance`.
  static func siluFloor(_ tolerance: Double) -> Double {
    var (low, high) = (-745.0, -1.278)
    guard -high / (1 + exp(-high)) > tolerance else { return high }
    for _ in 0..<64 {
      let middle = (low + high) / 2
      if -middle / (1 + exp(-middle)) <= tolerance { low = middle } else { high = middle }
    }
    return low
  }
}
