import QuantVerification
import Testing

@Suite struct JudgementTests {
  /// 20 dB (signal 1, noise 0.01) and cosine 1.
  private static func metrics(_ reference: [Float] = [10], _ candidate: [Float] = [9]) -> ErrorMetrics {
    var metrics = ErrorMetrics()
    metrics.add(reference: reference, candidate: candidate)
    return metrics
  }

  private func report(_ pair: VerificationReport.Pair = .floatFakeQuant) -> VerificationReport {
    var report = VerificationReport()
    report.samples = 8
    report.outputs = [.init(name: "scores", pair: pair, metrics: Self.metrics())]
    return report
  }

  private func failures(_ report: VerificationReport, _ thresholds: VerificationThresholds) -> [String] {
    var report = report
    report.judge(thresholds)
    #expect(report.passed == report.failures.isEmpty)
    return report.failures
  }

  @Test func aDemandThatIsJustMetIsMet() {
    let measured = Self.metrics().sqnr
    #expect(failures(report(), .init(minimumSQNR: measured)) == [])
    #expect(failures(report(), .init(minimumSQNR: measured.nextUp)).count == 1)
    #expect(failures(report(), .init(minimumCosine: 1)) == [])
  }

  @Test(arguments: [VerificationReport.Pair.floatFakeQuant, .floatInteger])
  func linesNameOutputPairAndNumbers(pair: VerificationReport.Pair) {
    #expect(
      failures(report(pair), .init(minimumSQNR: 25.25))
        == ["output 'scores' (\(pair.rawValue)): SQNR 20.0 dB is below 25.2 dB"])
    var turned = report(pair)
    turned.outputs[0].metrics = Self.metrics([1, 0], [1, 1])
    #expect(
      failures(turned, .init(minimumCosine: 0.99))
        == ["output 'scores' (\(pair.rawValue)): cosine 0.7071 is below 0.9900"])
  }

  @Test func theTwoQuantizedFormsAreNotJudgedAgainstEachOther() {
    #expect(failures(report(.fakeQuantInteger), .init(minimumSQNR: 90, minimumCosine: 1)) == [])
  }

  @Test func theReferenceHasADemandOfItsOwn() {
    #expect(
      failures(report(.referenceFloat), .init())
        == ["output 'scores' (reference/float): SQNR 20.0 dB is below 60.0 dB"])
    var thresholds = VerificationThresholds(minimumSQNR: 90)
    thresholds.minimumReferenceSQNR = 15
    #expect(failures(report(.referenceFloat), thresholds) == [])
    thresholds.minimumReferenceSQNR = nil
    #expect(failures(report(.referenceFloat), thresholds) == [])
  }

  @Test func notANumberNeverPasses() {
    var broken = report()
    broken.outputs[0].metrics = Self.metrics([1], [.nan])
    #expect(
      failures(broken, .init(minimumSQNR: 0))
        == ["output 'scores' (float/fake-quant): SQNR -inf dB is below 0.0 dB"])
  }

  @Test func agreement() {
    var close = report()
    close.agreement = .init(fakeQuant: 90, integer: 89.994)
    #expect(failures(close, .init(minimumAgreement: 89.994)) == [])
    #expect(
      failures(close, .init(minimumAgreement: 90))
        == ["top-1 agreement of integer with float is 89.99 %, below 90.00 %"])
    #expect(failures(close, .init(minimumAgreement: 95)).count == 2)
    // An output that scores no classes has no agreement to judge.
    #expect(failures(report(), .init(minimumAgreement: 95)) == [])
  }

  @Test func drop() {
    var labelled = report()
    labelled.topOne = .init(float: 99, fakeQuant: 98.5, integer: 98.25)
    #expect(failures(labelled, .init(maximumDrop: 0.75)) == [])
    #expect(
      failures(labelled, .init(maximumDrop: 0.5))
        == ["top-1 of integer is 98.25 %, 0.75 points below float; at most 0.50 are allowed"])
    labelled.topOne = .init(float: 90, fakeQuant: 95, integer: nil)
    #expect(failures(labelled, .init(maximumDrop: 0)) == [])
  }

  @Test func aDropNeedsLabels() {
    #expect(
      failures(report(), .init(maximumDrop: 1)) == ["--max-drop needs labels, and a first output that scores classes"])
  }

  @Test func nothingComparedIsAFailure() {
    #expect(failures(VerificationReport(), .init()) == ["no samples were compared"])
  }

  @Test func judgingAgainStartsAnew() {
    var report = self.report()
    report.judge(.init(minimumSQNR: 50))
    #expect(!report.passed)
    report.judge(.init(minimumSQNR: 5))
    #expect(report.passed)
  }

  @Test func whatHoldsWithoutFlags() {
    #expect(VerificationThresholds.standard.minimumSQNR == 10)
    #expect(VerificationThresholds.standard.minimumAgreement == 80)
    #expect(VerificationThresholds().isEmpty && !VerificationThresholds.standard.isEmpty)
  }

  @Test func numbersWithFixedDecimals() {
    #expect(fixed(12.345, 1) == "12.3")
    #expect(fixed(0.05, 1) == "0.0")
    #expect(fixed(0.06, 1) == "0.1")
    #expect(fixed(-0.04, 1) == "0.0")
    #expect(fixed(-1.5, 2) == "-1.50")
    #expect(fixed(2.5, 0) == "2")
    #expect(fixed(3.5, 0) == "4")
    #expect(fixed(0, 0) == "0")
    #expect(fixed(99.999, 2) == "100.00")
    #expect(fixed(.infinity, 1) == "inf")
    #expect(fixed(.nan, 1) == "nan")
    #expect(decibels(-.infinity) == "-inf dB")
    #expect(decibels(17.25) == "17.2 dB")
  }
}
