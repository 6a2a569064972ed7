import FloatExecution
import Glibc
import ONNXGraph
import ONNXTensor
import QuantCore
import QuantPasses
import TestSupport

/// Runs a model on samples and gathers what calibration would.
func measure(_ model: Model, samples: [[String: Tensor]]) throws -> ModelStatistics {
  let executor = try FloatExecutor(model: model)
  var statistics = ModelStatistics()
  var sums: [String: (axis: Int, sums: ExactSums, squares: ExactSums, elements: UInt64)] = [:]
  for sample in samples {
    _ = try executor.run(sample) { value, result in
      guard let tensor = result.tensor, tensor.elementType == .float32 else { return }
      add(tensor, to: &statistics.tensors[value.name, default: TensorStatistics()])
      for use in value.uses
      where use.index == 0 && ["Conv", "Gemm", "MatMul"].contains(use.node.opType) && tensor.rank >= 2 {
        let axis = use.node.opType == "Conv" ? 1 : tensor.rank - 1
        let layout = try ChannelLayout(shape: tensor.shape, axis: axis)
        var entry =
          sums[value.name] ?? (
            axis, ExactSums(count: layout.channels), ExactSums(count: layout.channels), 0
          )
        let values = tensor.array(Float.self)
        for channel in 0..<layout.channels {
          layout.forEach(channel) {
            entry.sums.add(Double(values[$0]), to: channel)
            entry.squares.add(Double(values[$0]) * Double(values[$0]), to: channel)
          }
        }
        entry.elements += UInt64(tensor.count / max(layout.channels, 1))
        sums[value.name] = entry
        break
      }
    }
    statistics.samples += 1
  }
  for (name, entry) in sums {
    let count = entry.sums.count
    guard
      let channels = ChannelStatistics.Channels(
        elements: entry.elements, minima: [Float](repeating: 0, count: count),
        maxima: [Float](repeating: 0, count: count),
        sums: entry.sums, squares: entry.squares)
    else { continue }
    statistics.tensors[name]?.channels = [ChannelStatistics(axis: entry.axis, contents: .channels(channels))]
  }
  return statistics
}

func add(_ tensor: Tensor, to statistics: inout TensorStatistics) {
  for value in tensor.array(Float.self) {
    statistics.count += 1
    if value.isNaN {
      statistics.nans += 1
    } else if value == .infinity {
      statistics.positiveInfinities += 1
    } else if value == -.infinity {
      statistics.negativeInfinities += 1
    } else {
      if value == 0 { statistics.zeros += 1 }
      statistics.minimum = min(statistics.minimum, value)
      statistics.maximum = max(statistics.maximum, value)
      statistics.histogram.add(value)
    }
  }
  statistics.insert(TensorStatistics.ShapeBounds(tensor.shape))
}

/// Statistics of tensors with the given values.
func statistics(_ values: [String: [Float]]) -> ModelStatistics {
  var result = ModelStatistics()
  result.samples = 1
  for (name, list) in values {
    add(Tensor(list, shape: [list.count]), to: &result.tensors[name, default: TensorStatistics()])
  }
  return result
}

/// As if every float tensor of the model had these values.
func evenStatistics(_ model: Model, _ values: [Float] = [-1, -0.5, 0.25, 2]) -> ModelStatistics {
  var result: [String: [Float]] = [:]
  for value in model.graph.values where value.type?.elementType ?? .float32 == .float32 { result[value.name] = values }
  return statistics(result)
}

func samples(_ model: Model, count: Int, seed: UInt64 = 7) -> [[String: Tensor]] {
  var random = SeededGenerator(seed: seed)
  return (0..<count).map { _ in
    var sample: [String: Tensor] = [:]
    for value in model.graph.requiredInputs {
      let shape = value.type?.staticShape ?? []
      sample[value.name] = Tensor(
        (0..<shape.reduce(1, *)).map { _ in Float.random(in: -1...1, using: &random) }, shape: shape)
    }
    return sample
  }
}

/// Signal over error in dB, over all outputs and samples.
func sqnr(_ reference: Model, _ model: Model, _ samples: [[String: Tensor]]) throws -> Double {
  let (exact, changed) = (try FloatExecutor(model: reference), try FloatExecutor(model: model))
  var (signal, noise) = (0.0, 0.0)
  for sample in samples {
    let results: ([String: Tensor], [String: Tensor]) = (try exact.run(sample), try changed.run(sample))
    for (name, tensor) in results.0 where tensor.elementType == .float32 {
      for (a, b) in zip(tensor.array(Float.self), results.1[name]?.array(Float.self) ?? []) {
        signal += Double(a) * Double(a)
        noise += Double(a - b) * Double(a - b)
      }
    }
  }
  return noise == 0 ? .infinity : 10 * log10(signal / noise)
}

/// The whole pipeline; the report and the model as text.
func quantize(
  _ model: Model, _ options: InsertionOptions, _ statistics: ModelStatistics
) throws -> (report: InsertionReport, text: String) {
  let report = try QuantizationPipeline(options, statistics: statistics).run(on: model)
  return (report, TextPrinter.text(model, elementLimit: 8))
}
