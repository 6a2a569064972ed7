import QuantCore
import Testing

/// The worked example of docs/numerics.md.
@Suite struct WorkedExampleTests {
  @Test func requantizesAsWritten() throws {
    let multiplier = try #require(FixedPointMultiplier(0.05, times: 0.01, over: 0.04))
    #expect(multiplier.m0 == 1_717_986_944)
    #expect(multiplier.shift == 37)
    let x: [Int32] = [12, -10, 37]
    let w: [Int32] = [50, -127, 3]
    let bias = Int32((0.25 / Double(Float(0.05) * Float(0.01))).rounded(.toNearestOrEven))
    #expect(bias == 500)
    let accumulator = zip(x, w).reduce(bias) { $0 + ($1.0 + 10) * $1.1 }
    #expect(accumulator == 1741)
    #expect(multiplier.apply(to: accumulator) + 5 == 27)
  }
}
