/// The rules that decide what is quantized, by id. `docs/placement.md` lists the same sentences.
package struct PlacementRule: Sendable, Hashable {
  package let id: String
  package let sentence: String

  init(_ id: String, _ sentence: String) {
    self.id = id
    self.sentence = sentence
  }

  package static let existing = PlacementRule(
    "Q01", "A tensor that is behind Q/DQ already keeps its parameters; readers that need it quantized join it.")
  package static let noRole = PlacementRule(
    "Q02", "An operator that the target does not run in integers stays float; unknown operators do not block the rest.")
  package static let nested = PlacementRule(
    "Q03", "A node that holds graphs stays float; the graphs in it are quantized as they stand.")
  package static let elementType = PlacementRule(
    "Q04", "Only float32, float16 and bfloat16 tensors are quantized; scales have the type of what they scale.")
  package static let noData = PlacementRule(
    "Q05", "A tensor that saw no data, or NaN or infinity, is an error, or stays float where the policy says so.")
  package static let drowned = PlacementRule(
    "Q06",
    "A tensor whose range drowns its signal (a few huge values beside many that would all become zero) stays float.")
  package static let selected = PlacementRule("Q07", "What --exclude names, or --include leaves out, stays float.")
  package static let weight = PlacementRule(
    "Q08",
    "A weight becomes an integer initializer behind DequantizeLinear: int8, symmetric, one scale per output channel, "
      + "unless the target says otherwise.")
  package static let weightForm = PlacementRule(
    "Q09", "A weighted operator is quantized where its weight is a constant, or behind DequantizeLinear.")
  package static let biasCorrection = PlacementRule(
    "Q10", "The mean shift that rounding the weights causes, by the recorded channel means, is taken off the bias.")
  package static let sharedScale = PlacementRule(
    "Q11", "Operators that only move elements share one scale and zero point between input and output.")
  package static let fanOut = PlacementRule(
    "Q12", "One tensor has one Q/DQ pair, which all its quantized readers share.")
  package static let constant = PlacementRule(
    "Q13", "A constant operand of a quantized operator becomes an integer initializer on the target's activation grid.")

  package static let rescued = PlacementRule(
    "Q16",
    "Tensors whose grids are coarse beside their signal get 16 bits where the target has kernels for them, else stay "
      + "float, worst first, as far as the budget of multiply-accumulates allows.")
  package static let override = PlacementRule(
    "Q15", "What an override names has the grid, the method or the range that it gives; so has what shares its scale.")
  package static let reducedWeight = PlacementRule(
    "Q14",
    "Where the engine adds pairs of products in 16 bits, a weight uses seven bits (-64 to 64), so that no sum saturates."
  )

  package static let tensorRTWeighted = PlacementRule(
    "TRT-P01", "All inputs of weighted operators are quantized: activations per tensor, weights per channel.")
  package static let tensorRTFusion = PlacementRule(
    "TRT-P03", "Inside fusions (convolution, normalization, bias, activation) and on outputs there is no Q/DQ.")
  package static let tensorRTResidual = PlacementRule(
    "TRT-P04", "A residual Add has Q/DQ on its skip input only, so that convolution, Add and activation fuse.")
  package static let tensorRTPooling = PlacementRule(
    "TRT-P05", "An average pool is quantized where what it feeds is quantized: integers in and out, or neither.")
  package static let tensorRTCommuting = PlacementRule(
    "TRT-P06", "Operators that commute with Q/DQ need none; what they connect shares one scale.")
  package static let tensorRTConcat = PlacementRule("TRT-P08", "Inputs and output of Concat share one scale.")
  package static let tensorRTPad = PlacementRule(
    "TRT-P09", "Between Pad and a convolution there is no Q/DQ; the input of the Pad is quantized.")
  package static let tensorRTProduct = PlacementRule(
    "TRT-P11", "Products of two activations (attention) stay float.")
  package static let tensorRTShape = PlacementRule(
    "TRT-P12",
    "Weighted operators too small for int8 tensor cores stay float, unless that would leave none quantized.")

  package static let openVINOWeighted = PlacementRule(
    "OV-P01", "All inputs of weighted operators are quantized, products of two activations too; outputs are not.")
  package static let openVINOFusion = PlacementRule(
    "OV-P02", "What the engine fuses behind a weighted operator, and what it runs in float, has no Q/DQ.")
  package static let openVINOResidual = PlacementRule(
    "OV-P03", "A residual Add has Q/DQ on its skip input only; the convolution takes the Add in.")
  package static let openVINOPooling = PlacementRule(
    "OV-P04", "An average pool is quantized where what it feeds is quantized.")
  package static let openVINOPad = PlacementRule(
    "OV-P05", "Between Pad and a convolution there is no Q/DQ; the input of the Pad is quantized.")

  package static let openVINOCentered = PlacementRule(
    "OV-P06",
    "Factors of a product of two activations and inputs of ConvTranspose have zero point 0: int8 symmetric, or uint8 where "
      + "nothing is negative and it is no second factor.")
  package static let openVINOUnit = PlacementRule(
    "OV-P07", "A scale of exactly 1 with zero point 0 becomes the next larger number: the engine drops such a pair.")

  package static let fusedInputs = PlacementRule(
    "REG-P01", "All inputs of weighted operators are quantized.")
  package static let fusedOutputs = PlacementRule(
    "REG-P02", "The output of an operator with an integer kernel is quantized; a product's only where its reader is.")
  package static let absorbed = PlacementRule(
    "REG-P03",
    "Relu and Clip are absorbed by the Q after them: its range lies within theirs, before them there is none.")
  package static let between = PlacementRule(
    "REG-P04",
    "Operators without weights are quantized between quantized ones only: float in or float out would cost more.")
  package static let integerBias = PlacementRule(
    "REG-P05", "The bias is int32 with the scale of the input times that of the weight, in float32; it cannot overflow."
  )
  package static let fixedRange = PlacementRule("REG-P06", "The range of Softmax is 0 to 1, whatever was measured.")
  package static let matMulBias = PlacementRule(
    "REG-P07", "The constant added to a MatMul is its bias: no Q/DQ between the two.")

  package static let everyTensor = PlacementRule(
    "INT-P01", "Every tensor between operators with integer kernels is quantized, inputs and outputs of the graph too.")
  package static let reachable = PlacementRule(
    "INT-P02", "Operators that no quantized tensor connects to a weighted one stay float.")

  package static let all: [PlacementRule] =
    [
      existing, noRole, nested, elementType, noData, drowned, selected, weight, weightForm, biasCorrection, sharedScale,
      fanOut, constant, rescued, tensorRTWeighted, tensorRTFusion, tensorRTResidual, tensorRTPooling, tensorRTCommuting,
      tensorRTConcat, tensorRTPad, tensorRTProduct, tensorRTShape, fusedInputs, fusedOutputs, absorbed, between,
      openVINOWeighted, openVINOFusion, openVINOResidual, openVINOPooling, openVINOPad, openVINOCentered, openVINOUnit,
      reducedWeight, override,
      integerBias, fixedRange, matMulBias, everyTensor, reachable,
    ] + weightOnly
}

/// The rules of a `weightedInputs` placement, by role.
package struct FusionRules: Sendable {
  package var weighted: PlacementRule
  package var fusion: PlacementRule
  package var residual: PlacementRule
  package var pooling: PlacementRule
  package var pad: PlacementRule
  /// Activations that may have no zero point, where the target has a grid of its own for them.
  package var centered: PlacementRule
  /// Products of two activations; nil where the target quantizes them.
  package var product: PlacementRule?
  /// Weighted operators too small for the engine's integer units stay float; nil where size does not matter.
  package var shape: PlacementRule?

  package static let tensorRT = FusionRules(
    weighted: .tensorRTWeighted, fusion: .tensorRTFusion, residual: .tensorRTResidual, pooling: .tensorRTPooling,
    pad: .tensorRTPad, centered: .tensorRTWeighted, product: .tensorRTProduct, shape: .tensorRTShape)

  package static let openVINO = FusionRules(
    weighted: .openVINOWeighted, fusion: .openVINOFusion, residual: .openVINOResidual, pooling: .openVINOPooling,
    pad: .openVINOPad, centered: .openVINOCentered)
}
