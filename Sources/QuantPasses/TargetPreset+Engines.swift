import QuantCore

extension TargetPreset {
  private static let movements: Set<String> = [
    "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Slice", "Split", "MaxPool", "Gather", "GatherElements",
    "Expand", "Tile", "DepthToSpace", "SpaceToDepth", "Resize", "Pad",
  ]

  /// Operators that a target may list as moving elements.
  package static let movable = (movements.union(["GlobalMaxPool"])).sorted()

  private static let commuting: Set<String> = [
    "MaxPool", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Slice", "Flatten", "Split", "Pad",
  ]

  package static let tensorRT = TargetPreset(
    name: "tensorrt", activations: .int8Symmetric, placement: .weightedInputs, bias: .float,
    weighted: ["Conv", "ConvTranspose", "Gemm", "MatMul"], quantizesProducts: false,
    arithmetic: ["AveragePool", "GlobalAveragePool"], movement: commuting,
    absorbed: [], sharing: ["Concat"], fusesMatMulBias: true, needsTensorCoreShapes: true)

  /// The deep learning accelerator of Jetson: TensorRT's types, but a scale on every tensor.
  package static let tensorRTDLA = TargetPreset(
    name: "tensorrt-dla", activations: .int8Symmetric, placement: .everyTensor, bias: .float,
    weighted: ["Conv", "ConvTranspose", "Gemm", "MatMul"], quantizesProducts: false,
    arithmetic: [
      "Add", "Sub", "Mul", "Max", "Min", "AveragePool", "GlobalAveragePool", "Concat", "Sigmoid", "Tanh", "LeakyRelu",
    ],
    movement: commuting.union(["Resize"]), absorbed: ["Relu", "Clip"], sharing: ["Concat"], fusesMatMulBias: true)

  /// The CPU provider on x64 with VNNI.
  package static let onnxRuntime = TargetPreset(
    name: "onnxruntime", activations: .uint8Asymmetric, placement: .betweenQuantized, bias: .int32,
    weighted: ["Conv", "Gemm", "MatMul"], integerOutput: ["Conv"], quantizesProducts: true,
    arithmetic: [
      "Add", "Mul", "AveragePool", "GlobalAveragePool", "Sigmoid", "LeakyRelu", "Softmax", "Concat", "Where",
    ],
    movement: movements, absorbed: ["Relu", "Clip"], fixedRanges: ["Softmax": ValueRange(0, 1)],
    fusesMatMulBias: true, equalizes: true, highestOpset: 27)

  /// The CPU provider on x64 without VNNI: its kernels add pairs of products in 16 bits.
  package static let onnxRuntimeAVX2: TargetPreset = {
    var target = onnxRuntime
    target.name = "onnxruntime-avx2"
    target.weights = QuantizationScheme(.int8, symmetric: true, reduced: true)
    return target
  }()

  /// The CPU provider on arm64: signed by signed.
  package static let onnxRuntimeARM64: TargetPreset = {
    var target = onnxRuntime
    target.name = "onnxruntime-arm64"
    target.activations = .int8Asymmetric
    return target
  }()

  package static let openVINO: TargetPreset = {
    var target = TargetPreset(
      name: "openvino", activations: .uint8Asymmetric, placement: .weightedInputs, bias: .float,
      weighted: ["Conv", "ConvTranspose", "Gemm", "MatMul"], quantizesProducts: true,
      arithmetic: ["AveragePool", "GlobalAveragePool"], movement: commuting,
      absorbed: [], sharing: ["Concat"], fusesMatMulBias: true, rules: .openVINO)
    target.centered = .int8Symmetric
    target.dropsUnitPairs = true
    return target
  }()

  /// Qualcomm's HTP through onnxruntime: whole graphs of node units, each with Q/DQ on all sides.
  package static let qnn: TargetPreset = {
    var target = TargetPreset(
      name: "qnn", activations: .uint8Asymmetric, placement: .everyTensor, bias: .int32,
      weighted: ["Conv", "ConvTranspose", "Gemm", "MatMul"], quantizesProducts: true,
      arithmetic: [
        "Add", "Sub", "Mul", "Div", "Max", "Min", "AveragePool", "GlobalAveragePool", "Concat", "Sigmoid", "Tanh",
        "LeakyRelu", "PRelu", "HardSwish", "Elu", "Gelu", "Softmax", "Exp", "Sqrt", "Abs", "Neg", "ReduceMean",
        "ReduceMax",
        "ReduceMin", "Where",
      ],
      movement: movements.union(["GlobalMaxPool"]), absorbed: ["Relu", "Clip"],
      // The scales that the engine demands of these: 1/256 and 1/128.
      fixedRanges: [
        "Sigmoid": ValueRange(0, 255.0 / 256), "Softmax": ValueRange(0, 255.0 / 256),
        "Tanh": ValueRange(-1, 127.0 / 128),
      ],
      fusesMatMulBias: false, perTensorWeights: ["Gemm", "MatMul"])
    target.activations.smallestRange = 1e-4
    target.wideActivations = .uint16
    return target
  }()

  package static let integer = TargetPreset(
    name: "integer", activations: .int8Asymmetric, placement: .everyTensor, bias: .int32,
    weighted: ["Conv", "Gemm", "MatMul"], quantizesProducts: true,
    arithmetic: [
      "Add", "Sub", "Mul", "AveragePool", "GlobalAveragePool", "Concat", "Sigmoid", "Tanh", "LeakyRelu", "HardSigmoid",
      "HardSwish", "Elu", "Selu", "Celu", "Softplus", "Softsign", "Erf", "Gelu", "Mish", "Swish", "Abs", "Neg",
    ],
    movement: movements.union(["GlobalMaxPool"]), absorbed: ["Relu", "Clip"], fusesMatMulBias: true)

  /// The presets by name.
  package static let all: [TargetPreset] = [
    tensorRT, tensorRTDLA, onnxRuntime, onnxRuntimeAVX2, onnxRuntimeARM64, openVINO, qnn, integer,
  ]
}
