import FloatExecution
import ONNXGraph
import ONNXTensor
import QuantCore
import QuantPasses
import TestSupport
import Testing

struct EqualizeTests {
  /// A convolution with one channel that is a hundred times as wide as the others, an activation, another convolution.
  private func network(_ activation: (inout GraphBuilder) -> Void = silu) -> Model {
    var builder = GraphBuilder(seed: 31)
    builder.input("x", [1, 8, 6, 6])
    var weights = (0..<16 * 8 * 9).map { _ in builder.float(-0.2...0.2) }
    for index in 0..<8 * 9 { weights[index] *= 100 }
    builder.constant("w1", weights, [16, 8, 3, 3])
    builder.constant("b1", (0..<16).map { Float($0) / 16 }, [16])
    builder.node("Conv", ["x", "w1", "b1"], ["c"], name: "conv1", [Attribute("pads", ints: [1, 1, 1, 1])])
    activation(&builder)
    builder.weight("w2", [16, 16, 3, 3])
    builder.node("Conv", ["a", "w2"], ["y"], name: "conv2", [Attribute("pads", ints: [1, 1, 1, 1])])
    builder.output("y")
    return builder.model
  }

  private static func silu(_ builder: inout GraphBuilder) {
    builder.node("Sigmoid", ["c"], ["s"], name: "gate")
    builder.node("Mul", ["c", "s"], ["a"], name: "product")
  }

  /// With the channels of the first convolution's output, as calibration records them.
  private func statistics(_ model: Model) throws -> ModelStatistics {
    let data = samples(model, count: 8)
    var result = try measure(model, samples: data)
    let executor = try FloatExecutor(model: model)
    var minima = [Float](repeating: .infinity, count: 16)
    var maxima = [Float](repeating: -.infinity, count: 16)
    var kept = (ExactSums(count: 16), ExactSums(count: 16))
    var elements: UInt64 = 0
    for sample in data {
      let _: [String: Tensor] = try executor.run(sample) { value, result in
        guard value.name == "c", let values = result.tensor?.array(Float.self) else { return }
        for (index, number) in values.enumerated() {
          let channel = index / 36 % 16
          minima[channel] = min(minima[channel], number)
          maxima[channel] = max(maxima[channel], number)
          kept.0.add(Double(number), to: channel)
          kept.1.add(Double(number) * Double(number), to: channel)
        }
        elements += 36
      }
    }
    let channels = try #require(
      ChannelStatistics.Channels(
        elements: elements, minima: minima, maxima: maxima, sums: kept.0, squares: kept.1))
    result.tensors["c"]?.channels = [ChannelStatistics(axis: 1, contents: .channels(channels))]
    return result
  }

  @Test func theFunctionStaysWhatItWas() throws {
    let (reference, model) = (network(), network())
    let result = try EqualizeChannels(InsertionOptions(target: .onnxRuntime), statistics: statistics(model)).run(
      on: model)
    #expect(result.journal.map(\.rule) == ["F08"])
    #expect(model.graph.nodes.map(\.opType) == ["Conv", "Mul", "Sigmoid", "Mul", "Conv"])
    #expect(try sqnr(reference, model, samples(reference, count: 4)) > 110)
  }

  @Test func theFactorsAreExactOnAnEightBitGrid() throws {
    let model = network()
    _ = try EqualizeChannels(InsertionOptions(target: .onnxRuntime), statistics: statistics(model)).run(on: model)
    let factors = try #require(model.graph.initializers.first { $0.value.name == "c_factors" })
    let values = try factors.literal.tensor().array(Float.self)
    #expect(values.count == 16 && values.max() == 1)
    for value in values { #expect((value * 255).rounded() / 255 == value) }
  }

  @Test func theOutputsGainAndASecondInsertionFindsNothingToDo() throws {
    let reference = network()
    let data = samples(reference, count: 4, seed: 9)
    let known = try statistics(reference)
    func quality(_ folding: InsertionOptions.Folding) throws -> Double {
      let model = network()
      var options = InsertionOptions(target: .onnxRuntime)
      options.folding = folding
      options.rescueBudget = 0
      let report = try quantize(model, options, known).report
      #expect(report.journal.contains { $0.rule == "F08" } == (folding == .all))
      #expect(try quantize(model, options, known).report.isUnchanged)
      return try sqnr(reference, model, data)
    }
    #expect(try quality(.all) > quality(.none))
  }

  @Test func whereNothingIsGainedNothingIsDone() throws {
    func isEqualized(_ model: Model, _ target: TargetPreset, budget: Double? = 0.05) throws -> Bool {
      var options = InsertionOptions(target: target)
      options.rescueBudget = budget
      return try !EqualizeChannels(options, statistics: statistics(model)).run(on: model).journal.isEmpty
    }
    #expect(try isEqualized(network(), .onnxRuntime))
    #expect(try !isEqualized(network(), .onnxRuntime, budget: nil))
    #expect(try !isEqualized(network(), .tensorRT))
    #expect(try !isEqualized(network(), .integer))
    let absorbed = network { $0.node("Relu", ["c"], ["a"], name: "relu") }
    #expect(try !isEqualized(absorbed, .onnxRuntime))
  }

  // MARK: Measured rescue

  private func sensitivity(_ model: Model) -> Sensitivity {
    let data = samples(model, count: 4)
    return Sensitivity(count: data.count, load: { data[$0].mapValues { .tensor($0) } })
  }

  @Test(arguments: ["tensorrt", "onnxruntime", "qnn", "integer"])
  func measuringLeavesNoTraceAndPicksWhatHurts(_ target: String) throws {
    func insert(_ measures: Bool) throws -> (report: InsertionReport, model: Model) {
      let model = network()
      var options = InsertionOptions(target: try .named(target))
      options.rescueBudget = 1
      options.measuresMethod = true
      let report = try QuantizationPipeline(
        options, statistics: statistics(model), sensitivity: measures ? sensitivity(model) : nil
      ).run(on: model)
      return (report, model)
    }
    let measured = try insert(true)
    #expect(!TextPrinter.text(measured.model).contains("trial_"))
    #expect(TextPrinter.text(measured.model) == TextPrinter.text(try insert(true).model))
    for decision in measured.report.decisions where decision.rule == .rescued {
      #expect(decision.reason.contains("dB") || decision.reason.contains("made alike"))
    }
    var options = InsertionOptions(target: try .named(target))
    options.rescueBudget = 1
    let model = measured.model
    #expect(try quantize(model, options, statistics(network())).report.isUnchanged)
  }
}
