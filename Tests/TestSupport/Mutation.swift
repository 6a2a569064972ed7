import FoundationEssentials

/// Broken copies of files, from a printed seed.
package enum Mutation {
  /// One to eight changes: a byte replaced, a bit flipped, a run overwritten, removed or doubled.
  package static func mutated(_ bytes: [UInt8], _ generator: inout SeededGenerator) -> [UInt8] {
    var result = bytes
    for _ in 0..<Int.random(in: 1...8, using: &generator) {
      let position = Int.random(in: 0..<result.count, using: &generator)
      let end = min(result.count, position + Int.random(in: 1...16, using: &generator))
      switch Int.random(in: 0..<5, using: &generator) {
      case 0: result[position] = UInt8.random(in: 0...255, using: &generator)
      case 1: result[position] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
      case 2: for index in position..<end { result[index] = UInt8.random(in: 0...255, using: &generator) }
      case 3 where result.count > 64: result.removeSubrange(position..<end)
      default: result.insert(contentsOf: result[position..<end], at: position)
      }
    }
    return result
  }

  /// How many per model: `ONNXQ_MUTATIONS`, else 10,000.
  package static var count: Int { number("ONNXQ_MUTATIONS").map(Int.init(clamping:)) ?? 10_000 }

  /// `ONNXQ_SEED`, else a fixed one.
  package static var seed: UInt64 { number("ONNXQ_SEED") ?? 20_261_123 }

  private static func number(_ name: String) -> UInt64? {
    ProcessInfo.processInfo.environment[name].flatMap { UInt64($0) }
  }
}
