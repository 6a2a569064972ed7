import Glibc
import ONNXGraph
import ONNXTensor
import QuantCore
import QuantPasses
import TestSupport
import Testing

struct RescueTests {
  /// Two convolutions; one channel between them is hundreds of times as wide as the others. The second has a tenth of the
  /// multiply-accumulates.
  private func network(widest: Float) -> Model {
    var builder = GraphBuilder(seed: 21)
    builder.input("x", [1, 16, 6, 6])
    var weights = (0..<16 * 16 * 9).map { _ in builder.float(-0.3...0.3) }
    for index in 0..<16 * 9 { weights[index] *= widest }
    builder.constant("w1", weights, [16, 16, 3, 3])
    builder.node("Conv", ["x", "w1"], ["c1"], name: "conv1", [Attribute("pads", ints: [1, 1, 1, 1])])
    builder.node("Relu", ["c1"], ["r1"], name: "relu1")
    builder.weight("w2", [16, 16, 1, 1])
    builder.node("Conv", ["r1", "w2"], ["y"], name: "conv2")
    builder.output("y")
    return builder.model
  }

  private func insert(
    into model: Model, _ target: TargetPreset, budget: Double?
  ) throws -> InsertionReport {
    let statistics = try measure(model, samples: samples(model, count: 8))
    var options = InsertionOptions(target: target)
    options.rescueBudget = budget
    return try quantize(model, options, statistics).report
  }

  private func floatTensors(_ report: InsertionReport) -> [String] {
    report.decisions.filter { $0.rule == .rescued }.map(\.tensor)
  }

  /// Where a convolution has to write integers its output takes it along: only the greater budget allows that.
  @Test(arguments: [("tensorrt", 0.15), ("onnxruntime", 1), ("integer", 1)])
  func aChannelThatDrownsTheOthersKeepsItsTensorFloat(_ target: String, _ budget: Double) throws {
    let report = try insert(into: network(widest: 400), .named(target), budget: budget)
    #expect(floatTensors(report).contains("r1"))
    let decision = try #require(report.decisions.first { $0.rule == .rescued })
    #expect(decision.parameters == nil)
    #expect(decision.reason.contains("dB of the noise of its grid"))
    #expect(decision.reason.contains("% of the MACs"))
  }

  @Test func theBudgetHolds() throws {
    for budget in [0, 0.05, 0.09] {
      let report = try insert(into: network(widest: 400), .tensorRT, budget: budget)
      #expect(floatTensors(report).isEmpty, "\(budget)")
      #expect(report.macShare == 1)
    }
    let report = try insert(into: network(widest: 400), .tensorRT, budget: 0.11)
    #expect(floatTensors(report) == ["r1"])
    #expect(try #require(report.macShare) == 0.9)
  }

  @Test func nothingIsRescuedUnasked() throws {
    #expect(floatTensors(try insert(into: network(widest: 400), .tensorRT, budget: nil)).isEmpty)
    #expect(floatTensors(try insert(into: network(widest: 2), .tensorRT, budget: 0.15)).isEmpty)
  }

  @Test(arguments: ["tensorrt", "onnxruntime", "integer"])
  func aSecondInsertionFindsNothingToDo(_ target: String) throws {
    let model = network(widest: 400)
    let statistics = try measure(model, samples: samples(model, count: 8))
    let options = InsertionOptions(target: try .named(target))
    _ = try quantize(model, options, statistics)
    #expect(try quantize(model, options, statistics).report.isUnchanged)
  }

  @Test func rescueBringsTheSignalBack() throws {
    let reference = network(widest: 400)
    // What the wide channel writes counts no more than what the others do.
    let data = samples(reference, count: 8)
    func quality(_ budget: Double?) throws -> Double {
      let model = network(widest: 400)
      _ = try insert(into: model, .tensorRT, budget: budget)
      return try sqnr(reference, model, data)
    }
    #expect(try quality(0.15) > quality(nil))
  }

  // MARK: Readers that are flat

  private func gated(_ readers: (inout GraphBuilder) -> Void) throws -> Decision {
    var builder = GraphBuilder(seed: 5)
    builder.input("x", [1, 16, 4, 4])
    builder.weight("w", [16, 16, 1, 1])
    builder.node("Conv", ["x", "w"], ["c"], name: "conv")
    readers(&builder)
    builder.weight("w2", [16, 16, 1, 1])
    builder.node("Conv", ["a", "w2"], ["y"], name: "conv2")
    builder.output("y")
    let model = builder.model
    let values = evenStatistics(model, [-60, -2, -1, 0.5, 1, 40])
    let report = try quantize(model, InsertionOptions(target: .onnxRuntime), values).report
    return try #require(report.decisions.first { $0.tensor == "c" && $0.parameters != nil })
  }

  @Test func theNegativeTailOfSiLUGetsNoCodes() throws {
    let decision = try gated {
      $0.node("Sigmoid", ["c"], ["s"], name: "gate")
      $0.node("Mul", ["c", "s"], ["a"], name: "product")
    }
    let range = try #require(decision.range)
    let step = try #require(decision.parameters?.scale)
    #expect(range.upper == 40)
    #expect(range.lower > -8 && range.lower < -4)
    // |x·sigmoid(x)| at the bound is within an eighth of a step, by a margin for the rounds.
    let x = Double(range.lower)
    #expect(abs(x / (1 + exp(-x))) <= Double(step) / 7)
    #expect(try #require(decision.method).contains("flat"))
  }

  @Test func aReaderThatIsNotFlatKeepsTheRange() throws {
    let decision = try gated {
      $0.node("Sigmoid", ["c"], ["s"], name: "gate")
      $0.node("Mul", ["c", "s"], ["p"], name: "product")
      $0.node("Add", ["c", "p"], ["a"], name: "sum")
    }
    #expect(decision.range == ValueRange(-60, 40))
    #expect(decision.method == "minmax")
  }

  @Test func sigmoidIsFlatOnBothSides() throws {
    let decision = try gated { $0.node("Sigmoid", ["c"], ["a"], name: "gate") }
    let range = try #require(decision.range)
    #expect(range.lower == -range.upper && range.upper > 6 && range.upper < 8)
  }
}
