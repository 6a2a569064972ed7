extension LintRule {
  static let ortInput = LintRule(
    "ORT001", .warning, "Every input of an integer kernel comes from a DequantizeLinear.",
    fix: "put Q/DQ on the float input, or take the Q/DQ off the others")
  static let ortOutput = LintRule(
    "ORT002", .warning,
    "Each output of an integer kernel feeds one QuantizeLinear and nothing else, and is no output of the graph.",
    fix: "put Q/DQ on the output and let all readers read the DQ")
  static let ortActivation = LintRule(
    "ORT003", .warning,
    "A Relu or Clip is absorbed only where the quantized range lies within its own: zero point at the lowest code.",
    fix: "give the tensor behind it an asymmetric range that starts at 0")
  static let ortType = LintRule(
    "ORT004", .warning, "Activations have one type, and int8 activations need int8 weights.",
    fix: "use one element type for the inputs and the output")
  static let ortBias = LintRule(
    "ORT005", .warning, "A bias is int32 with the scale of input times weight, or a constant float vector.",
    fix: "store the bias as a constant vector, float or int32")
  static let ortParameters = LintRule(
    "ORT006", .warning, "An operator that moves elements has the same scale and a stored zero point on both sides.",
    fix: "give the Q behind it the parameters of the DQ before it")
  static let ortWidth = LintRule(
    "ORT007", .warning, "The integer kernels take 8-bit types; 16-bit and 4-bit ones run in float.",
    fix: "use an 8-bit type, or leave the operator float")
  static let ortSigned = LintRule(
    "ORT009", .warning,
    "On x64 the kernels take uint8: an int8 tensor is made uint8 only where one Q feeds one DQ with one reader.",
    fix: "insert Q/DQ with uint8 activations")
  static let ortOperator = LintRule(
    "ORT008", .warning, "Operators without an integer kernel run in float between DQ and Q.",
    fix: "leave the operator float, if what is around it can be, too")
  static let ortAxis = LintRule(
    "ORT010", .warning, "A MatMul weight with several scales has one per column: the last axis.",
    fix: "quantize the weight per column or per tensor")
  static let ortOpset = LintRule(
    "ORT011", .error, "onnxruntime 1.32 has Q/DQ kernels up to opset 27.", fix: "lower the opset to 27")
  static let ortSaturation = LintRule(
    "ORT012", .warning,
    "Without VNNI, uint8 by int8 products are summed in pairs in 16 bits and saturate where both are large.",
    fix: "use 7-bit weights (reduced range), or unsigned weights")

  static let onnxRuntime = [
    ortInput, ortOutput, ortActivation, ortType, ortBias, ortParameters, ortWidth, ortOperator, ortSigned, ortAxis,
    ortOpset,
    ortSaturation,
  ]
}
