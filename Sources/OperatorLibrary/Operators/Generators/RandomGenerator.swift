import Glibc
import ONNXTensor

/// Numbers that depend on the seed alone (SplitMix64); a node without a seed takes one from the name of its output, so
/// that every run gives the same numbers.
struct RandomGenerator {
  private var state: UInt64

  init(_ node: OperatorNode) throws {
    if let seed = try node.float("seed") {
      state = UInt64(seed.bitPattern)
    } else {
      // FNV-1a
      state = (node.node.output(0)?.name ?? "").utf8.reduce(0xCBF2_9CE4_8422_2325) {
        ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01B3
      }
    }
  }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// In [0, 1).
  mutating func uniform() -> Double { Double(next() >> 11) * 0x1p-53 }

  /// Standard normal, by the method of Box and Muller.
  mutating func normal() -> Double {
    let radius = (-2 * log(1 - uniform())).squareRoot()
    return radius * cos(2 * Double.pi * uniform())
  }
}

/// The distributions of the Random operators and their attributes.
enum RandomDistribution {
  case uniform(low: Double, high: Double)
  case normal(mean: Double, scale: Double)

  static func uniform(_ node: OperatorNode) throws -> RandomDistribution {
    .uniform(low: Double(try node.float("low", default: 0)), high: Double(try node.float("high", default: 1)))
  }

  static func normal(_ node: OperatorNode) throws -> RandomDistribution {
    .normal(mean: Double(try node.float("mean", default: 0)), scale: Double(try node.float("scale", default: 1)))
  }

  func tensor(_ generator: RandomGenerator, shape: [Int], type: ElementType) throws -> Tensor {
    guard type.isFloatingPoint else { throw unsupported(type) }
    let count = try ShapeArithmetic.check(shape, .float64)
    var generator = generator
    let values = (0..<count).map { _ in
      switch self {
      case .uniform(let low, let high): low + (high - low) * generator.uniform()
      case .normal(let mean, let scale): mean + scale * generator.normal()
      }
    }
    return try Tensor(values, shape: shape, castTo: type)
  }
}
