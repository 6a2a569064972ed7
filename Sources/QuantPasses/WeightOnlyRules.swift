extension PlacementRule {
  package static let storedWeight = PlacementRule(
    "WGT-P01",
    "The constant weight of MatMul and Gemm is stored in integers behind DequantizeLinear; activations stay float.")
  package static let storedTable = PlacementRule(
    "WGT-P02", "The table of a Gather is stored in integers where embeddings are asked for.")
  package static let storedAlready = PlacementRule(
    "WGT-P03", "A weight that is stored in integers already keeps its codes.")
  package static let storedFloat = PlacementRule(
    "WGT-P04", "A weight that is no constant matrix of float32, float16 or bfloat16 stays as it is.")
  package static let nonFiniteWeight = PlacementRule(
    "WGT-P05", "A weight with NaN or infinity is an error, or stays float where the policy says so.")
  package static let sharedWeight = PlacementRule(
    "WGT-P06", "A float weight that others read too stays beside its integers.")

  package static let dynamicProduct = PlacementRule(
    "DYN-P01",
    "The product with a constant weight is computed in integers; its other operand is quantized as the model runs.")
  package static let dynamicForm = PlacementRule(
    "DYN-P02",
    "What MatMulInteger cannot say stays float: other types, stacked weights, Gemm with alpha, beta or transA.")

  static let weightOnly = [
    storedWeight, storedTable, storedAlready, storedFloat, nonFiniteWeight, sharedWeight, dynamicProduct, dynamicForm,
  ]
}
