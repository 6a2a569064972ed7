import QuantVerification
import Testing

@Suite struct ErrorMetricsTests {
  private func metrics(_ reference: [Float], _ candidate: [Float]) -> ErrorMetrics {
    var metrics = ErrorMetrics()
    metrics.add(reference: reference, candidate: candidate)
    return metrics
  }

  private func isClose(_ left: Double, _ right: Double) -> Bool { (left - right).magnitude < 1e-9 }

  @Test func valuesWorkedOutByHand() {
    // Signal 9 + 16, noise 1; x·y = 21, |y|² = 18.
    let result = metrics([3, 4], [3, 3])
    #expect(isClose(result.sqnr, 13.979400086720377))
    #expect(isClose(result.cosine, 21 / (5 * 4.242640687119285)))
    #expect(result.maxAbsolute == 1)
    #expect(result.count == 2 && result.nonFinite == 0)
  }

  @Test func closedForms() {
    let reference = (1...1000).map { Float($0) }
    // Half of the signal as noise: 10 log10(4).
    #expect(isClose(metrics(reference, reference.map { $0 * 0.5 }).sqnr, 6.020599913279624))
    // Noise of one size d: 10 log10(n (n + 1) (2n + 1) / 6 / (n d²)).
    #expect(isClose(metrics(reference, reference.map { $0 + 0.5 }).sqnr, 61.25589907059849))
    #expect(isClose(metrics(reference, reference.map { -$0 }).cosine, -1))
    #expect(isClose(metrics(reference, reference.map { 3 * $0 }).cosine, 1))
  }

  @Test func equalTensors() {
    let result = metrics([1, -2, 0], [1, -2, 0])
    #expect(result.sqnr == .infinity && result.cosine == 1 && result.maxAbsolute == 0)
  }

  @Test func zeros() {
    #expect(metrics([0, 0], [0, 0]).sqnr == .infinity)
    #expect(metrics([0, 0], [0, 0]).cosine == 1)
    #expect(metrics([0, 0], [0, 1]).sqnr == -.infinity)
    #expect(metrics([0, 0], [0, 1]).cosine == 0)
    #expect(metrics([0, 1], [0, 0]).sqnr == 0)
    #expect(metrics([0, 1], [0, 0]).cosine == 0)
    #expect(metrics([], []).sqnr == .infinity)
  }

  @Test func orthogonalTensors() {
    #expect(metrics([1, 0], [0, 1]).cosine == 0)
    #expect(isClose(metrics([1, 0], [0, 1]).sqnr, -3.0102999566398116))
  }

  @Test func addingPiecesIsAddingTheWhole() {
    let reference = (0..<100).map { Float($0) * 0.37 - 11 }
    let candidate = reference.map { ($0 * 8).rounded() / 8 }
    var pieces = ErrorMetrics()
    for start in stride(from: 0, to: 100, by: 10) {
      pieces.add(
        reference: Array(reference[start..<start + 10]), candidate: Array(candidate[start..<start + 10]))
    }
    let whole = metrics(reference, candidate)
    #expect(pieces.sqnr == whole.sqnr && pieces.cosine == whole.cosine && pieces.count == 100)
    #expect(pieces.maxAbsolute == whole.maxAbsolute && whole.maxAbsolute <= 0.0625 + 1e-6)
  }

  @Test(arguments: [[Float.nan, 1], [.infinity, 1], [1, .nan], [-.infinity, .infinity], [.nan, .infinity]])
  func valuesThatAreNotFiniteOnOneSideSpoilEverything(pair: [Float]) {
    let result = metrics([5, pair[0]], [5, pair[1]])
    #expect(result.nonFinite == 1)
    #expect(result.sqnr == -.infinity && result.cosine == 0)
  }

  @Test(arguments: [Float.nan, .infinity, -.infinity]) func theSameOnBothSidesDoesNot(value: Float) {
    let result = metrics([5, value], [5, value])
    #expect(result.nonFinite == 0 && result.count == 2)
    #expect(result.sqnr == .infinity && result.cosine == 1)
  }

  @Test func largeValuesDoNotOverflow() {
    let most = Float.greatestFiniteMagnitude
    let result = metrics([most, -most], [most, most])
    #expect(result.sqnr.isFinite && isClose(result.cosine, 0))
  }
}
