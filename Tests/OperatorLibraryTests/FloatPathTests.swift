import FloatKernels
import ONNXGraph
import ONNXTensor
import OperatorLibrary
import TestSupport
import Testing

/// The float32 kernels against the definitions that float64 runs through, and against themselves on other threads.
@Suite struct FloatPathTests {
  struct Case {
    var opType: String
    var shapes: [[Int]?]
    var attributes: [Attribute] = []
    var domain = ""
    var opset = 22
  }

  static var cases: [Case] {
    [
      Case(
        opType: "Conv", shapes: [[2, 4, 9, 8], [6, 2, 3, 3], [6]],
        attributes: [
          Attribute("group", int: 2), Attribute("pads", ints: [1, 0, 2, 1]), Attribute("strides", ints: [2, 1]),
        ]),
      Case(
        opType: "Conv", shapes: [[1, 8, 12, 12], [8, 1, 3, 3], nil],
        attributes: [
          Attribute("group", int: 8), Attribute("auto_pad", string: "SAME_LOWER"),
          Attribute("dilations", ints: [2, 1]),
        ]),
      Case(opType: "Conv", shapes: [[1, 16, 7, 7], [20, 16, 1, 1], [20]]),
      Case(opType: "Conv", shapes: [[2, 3, 17], [5, 3, 4], [5]], attributes: [Attribute("strides", ints: [3])]),
      Case(opType: "Conv", shapes: [[1, 2, 5, 6, 4], [3, 2, 2, 3, 1], [3]]),
      Case(opType: "Conv", shapes: [[0, 2, 5, 5], [3, 2, 3, 3], [3]]),
      Case(
        opType: "ConvTranspose", shapes: [[2, 4, 5, 6], [4, 3, 3, 2], [6]],
        attributes: [
          Attribute("group", int: 2), Attribute("strides", ints: [2, 3]), Attribute("pads", ints: [1, 0, 0, 1]),
          Attribute("output_padding", ints: [1, 0]),
        ]),
      Case(
        opType: "ConvTranspose", shapes: [[1, 3, 4, 4], [3, 2, 3, 3], nil],
        attributes: [
          Attribute("strides", ints: [2, 2]), Attribute("auto_pad", string: "SAME_UPPER"),
        ]),
      Case(opType: "MatMul", shapes: [[2, 1, 3, 7], [5, 7, 4]]),
      Case(opType: "MatMul", shapes: [[7], [7, 4]]),
      Case(opType: "MatMul", shapes: [[2, 3, 7], [7]]),
      Case(opType: "MatMul", shapes: [[3, 0], [0, 4]]),
      Case(
        opType: "Gemm", shapes: [[4, 3], [5, 4], [3, 1]],
        attributes: [
          Attribute("transA", int: 1), Attribute("transB", int: 1), Attribute("alpha", float: 0.5),
          Attribute("beta", float: 2),
        ]),
      Case(opType: "Gemm", shapes: [[3, 4], [4, 5], [5]]),
      Case(opType: "Gemm", shapes: [[3, 4], [4, 5], []], attributes: [Attribute("beta", float: 0.25)]),
      Case(opType: "Gemm", shapes: [[3, 4], [4, 5], nil]),
      Case(
        opType: "AveragePool", shapes: [[1, 3, 9, 8]],
        attributes: [
          Attribute("kernel_shape", ints: [3, 2]), Attribute("pads", ints: [1, 0, 1, 1]),
          Attribute("ceil_mode", int: 1),
          Attribute("strides", ints: [2, 2]), Attribute("count_include_pad", int: 1),
        ]),
      Case(
        opType: "AveragePool", shapes: [[1, 3, 9]],
        attributes: [
          Attribute("kernel_shape", ints: [4]), Attribute("pads", ints: [2, 1]), Attribute("dilations", ints: [2]),
        ]),
      Case(
        opType: "MaxPool", shapes: [[2, 3, 9, 8]],
        attributes: [
          Attribute("kernel_shape", ints: [3, 3]), Attribute("pads", ints: [1, 1, 1, 1]),
          Attribute("strides", ints: [2, 2]),
        ]),
      Case(opType: "LpPool", shapes: [[1, 2, 7, 7]], attributes: [Attribute("kernel_shape", ints: [2, 3])]),
      Case(opType: "GlobalAveragePool", shapes: [[2, 5, 7, 6]]),
      Case(opType: "GlobalMaxPool", shapes: [[2, 5, 7, 6]]),
      Case(opType: "Softmax", shapes: [[3, 5, 4]], attributes: [Attribute("axis", int: 1)]),
      Case(opType: "Softmax", shapes: [[3, 5, 4]], attributes: [Attribute("axis", int: 1)], opset: 11),
      Case(opType: "LogSoftmax", shapes: [[3, 37]]),
      Case(opType: "BatchNormalization", shapes: [[2, 3, 4, 5], [3], [3], [3], [3]]),
      Case(
        opType: "LayerNormalization", shapes: [[2, 3, 4, 5], [4, 5], [4, 5]], attributes: [Attribute("axis", int: 2)]),
      Case(opType: "RMSNormalization", shapes: [[2, 3, 40], [40]], opset: 23),
      Case(
        opType: "LSTM", shapes: [[5, 3, 4], [2, 24, 4], [2, 24, 6], [2, 48]],
        attributes: [
          Attribute("hidden_size", int: 6), Attribute("direction", string: "bidirectional"),
        ]),
      Case(
        opType: "GRU", shapes: [[5, 3, 4], [1, 18, 4], [1, 18, 6], [1, 36]],
        attributes: [
          Attribute("hidden_size", int: 6), Attribute("linear_before_reset", int: 1),
          Attribute("direction", string: "reverse"),
        ]),
      Case(
        opType: "RNN", shapes: [[5, 3, 4], [1, 6, 4], [1, 6, 6], nil], attributes: [Attribute("hidden_size", int: 6)]),
      Case(opType: "Attention", shapes: [[2, 4, 5, 8], [2, 2, 6, 8], [2, 2, 6, 3]], opset: 24),
      Case(
        opType: "FusedConv", shapes: [[1, 4, 6, 6], [4, 4, 3, 3], [4], [1, 4, 4, 4]],
        attributes: [
          Attribute("activation", string: "Relu")
        ], domain: "com.microsoft"),
      Case(opType: "BiasGelu", shapes: [[4, 9], [9]], domain: "com.microsoft"),
      Case(opType: "FastGelu", shapes: [[4, 9], [9]], domain: "com.microsoft"),
      Case(opType: "QuickGelu", shapes: [[4, 9]], domain: "com.microsoft"),
    ]
  }

  static func inputs(_ test: Case) -> [[Float]?] {
    var random = SeededGenerator(seed: 7)
    return test.shapes.enumerated().map { index, shape in
      shape.map { shape in
        (0..<shape.reduce(1, *)).map { _ in
          let value = Float(Int.random(in: -512...512, using: &random)) / 256
          // Variances are positive.
          return test.opType == "BatchNormalization" && index == 4 ? abs(value) + 0.5 : value
        }
      }
    }
  }

  static func run(_ test: Case, _ inputs: [Tensor?], _ threads: ThreadPool) throws -> Tensor {
    let node = OperatorRunner.node(
      test.opType, domain: test.domain, inputs: inputs.count, absent: Set(inputs.indices.filter { inputs[$0] == nil }),
      attributes: test.attributes)
    let type = try #require(OperatorCatalog.find(node))
    let kernel = try type.prepare(OperatorNode(node, opset: test.opset, constants: inputs))
    let results = try kernel.body(inputs.map { $0.map { .tensor($0) } }, EvaluationContext(threads: threads))
    return try #require(results.first??.tensor)
  }

  @Test(arguments: cases.indices)
  func kernelsAgreeWithTheDefinition(number: Int) throws {
    let test = Self.cases[number]
    let values = Self.inputs(test)
    let single = zip(values, test.shapes).map { values, shape in values.map { Tensor($0, shape: shape ?? []) } }
    let double = zip(values, test.shapes).map { values, shape in
      values.map { Tensor($0.map { Double($0) }, shape: shape ?? []) }
    }
    let result = try Self.run(test, single, .serial)
    let expected = try Self.run(test, double, .serial)
    #expect(result.shape == expected.shape, "\(test.opType)")
    for (index, (x, y)) in zip(result.array(Float.self), expected.array(Double.self)).enumerated() {
      #expect(abs(Double(x) - y) <= 2e-5 * max(1, abs(y)), "\(test.opType), element \(index)")
    }
    let threaded = try Self.run(test, single, ThreadPool(threads: 3))
    #expect(threaded.array(UInt32.self) == result.array(UInt32.self))
  }

  @Test(arguments: cases.indices)
  func inferenceGivesTheShapeOfTheResult(number: Int) throws {
    let test = Self.cases[number]
    let values = Self.inputs(test)
    let tensors = zip(values, test.shapes).map { values, shape in values.map { Tensor($0, shape: shape ?? []) } }
    let node = OperatorRunner.node(
      test.opType, domain: test.domain, inputs: tensors.count,
      absent: Set(tensors.indices.filter { tensors[$0] == nil }), attributes: test.attributes)
    let type = try #require(OperatorCatalog.find(node))
    let inferred = try type.infer(
      OperatorNode(node, opset: test.opset), tensors.map { $0.map { InferredValue.tensor(.float32, $0.shape) } })
    let result = try Self.run(test, tensors, .serial)
    #expect(inferred.first??.staticShape == result.shape, "\(test.opType)")
    #expect(inferred.first??.elementType == .float32)
  }
}
