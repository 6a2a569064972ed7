import CKernels
import FloatExecution
import IntegerKernels
import ONNXTensor
import OperatorLibrary

/// The biased bytes of an 8-bit tensor of the graph and its zero point, raised likewise.
private func biased(
  _ inputs: [PlanValue?], _ index: Int, zero zeroIndex: Int, _ context: StepContext
) throws -> (bytes: IntegerTensor, zero: Int32) {
  guard let tensor = try runtimeInput(inputs, index).tensor, tensor.elementType == .int8 || tensor.elementType == .uint8
  else { throw ExecutionError(.failed, "input \(index) is not a tensor of 8-bit integers") }
  var zero = 0
  if zeroIndex < inputs.count, inputs[zeroIndex] != nil {
    guard let given = try runtimeInput(inputs, zeroIndex).tensor, given.elementType == tensor.elementType,
      given.count == 1, let value = given.integers?.first
    else { throw ExecutionError(.failed, "a zero point is not one number of its tensor's type") }
    zero = value
  }
  return (IntegerTensor(standard: tensor, context.pool), Int32(zero + (tensor.elementType == .int8 ? 128 : 0)))
}

/// MatMulInteger: exact sums of products of two 8-bit tensors, whose zero points are values of the run.
struct IntegerMatricesStep: StoredOperation {
  static let kind = "integer-matrices"
  static let layout = StepLayout.plain
  static let inputCounts = 4...4
  static let limit = Int(Int32.max) / (255 * 255)

  init() {}
  func store(_ fields: inout FieldWriter) {}
  init(_ fields: inout FieldReader) throws {}

  func run(_ arguments: [PlanValue?], _ context: StepContext) throws -> [PlanValue?] {
    let (x, xZero) = try biased(arguments, 0, zero: 2, context)
    let (y, yZero) = try biased(arguments, 1, zero: 3, context)
    let product = try BatchedProduct(x.shape, y.shape)
    guard product.depth <= Self.limit else {
      throw ExecutionError(.failed, "a sum of \(product.depth) products may exceed 32 bits")
    }
    let count = try context.elementCount(product.rows, product.columns)
    _ = try context.elementCount(product.batches.count, count, 4)
    context.count(product.batches.count &* count &* product.depth)
    let sums = try Tensor(of: Int32.self, shape: product.shape, pool: context.pool) { out in
      guard count > 0, let base = out.baseAddress else { return }
      try x.bytes.withElements(UInt8.self) { x in
        try y.bytes.withElements(UInt8.self) { y in
          for (index, batch) in product.batches.enumerated() {
            try multiplyActivations(
              rows: product.rows, columns: product.columns, depth: product.depth,
              x.baseAddress! + batch.a * product.rows * product.depth, zero: xZero,
              y.baseAddress! + batch.b * product.depth * product.columns, zero: yZero, into: base + index * count,
              pool: context.threads.handle)
          }
        }
      }
    }
    return [.runtime(.tensor(sums))]
  }
}

/// ConvInteger: exact sums; the input's zero point is a value of the run, and the weights are packed anew where it changes.
struct IntegerConvolutionStep: StoredOperation {
  static let kind = "integer-convolution"
  static let layout = StepLayout.plain
  static let inputCounts = 2...2
  private final class Cache { var packed: (zero: Int32, convolution: PackedConvolution)? }
  let window: WindowFields
  let groups: Int
  let weightShape: [Int]
  private let weights: Tensor
  private let zeros: [Int32]?
  private let cache = Cache()

  init(_ window: WindowFields, groups: Int, weightShape: [Int], _ description: ConvolutionDescription) {
    self.window = window
    self.groups = groups
    self.weightShape = weightShape
    weights = Tensor(description.weights, shape: weightShape)
    zeros = description.weightZeros
  }

  func store(_ fields: inout FieldWriter) throws {
    try window.store(&fields)
    fields.put("groups", int: groups)
    try fields.put("weights", tensor: weights)
    if let zeros { try fields.put("weight_zeros", tensor: Tensor(zeros, shape: [weightShape[0]])) }
  }

  init(_ fields: inout FieldReader) throws {
    window = try WindowFields(&fields)
    groups = try fields.int("groups", in: 1...1 << 30)
    weights = try fields.tensor("weights", .int8)
    weightShape = weights.shape
    guard (3...5).contains(weights.rank), weights.count > 0,
      ConvolutionDescription(split: weightShape, groups: groups, window) != nil
    else { throw fields.damaged("weights of shape \(weightShape) do not fit \(groups) groups and the window") }
    zeros = try fields.tensorIfPresent("weight_zeros", .int32, shape: [weightShape[0]])?.array(Int32.self)
    guard zeros?.allSatisfy({ (-256...256).contains($0) }) ?? true else {
      throw fields.damaged("a zero point of the weights is out of range")
    }
  }

  private func packed(_ zero: Int32) throws -> PackedConvolution {
    if let known = cache.packed, known.zero == zero { return known.convolution }
    guard var description = ConvolutionDescription(split: weightShape, groups: groups, window) else {
      throw ExecutionError(.failed, "the weights do not fit")
    }
    description.weights = weights.array(Int8.self)
    description.weightZeros = zeros
    description.inputZero = zero
    let bounds = try description.bounds()
    guard bounds.least.allSatisfy({ $0 >= Int64(Int32.min) }), bounds.greatest.allSatisfy({ $0 <= Int64(Int32.max) })
    else { throw ExecutionError(.failed, "an accumulator may leave 32 bits") }
    let convolution = try PackedConvolution(description)
    cache.packed = (zero, convolution)
    return convolution
  }

  func run(_ arguments: [PlanValue?], _ context: StepContext) throws -> [PlanValue?] {
    let (bytes, zero) = try biased(arguments, 0, zero: 1, context)
    let x = bytes.channelsLast(context.pool)
    let spatial = weightShape.count - 2
    guard x.shape.count == spatial + 2, x.shape[1] == weightShape[1] * groups else {
      throw ExecutionError(.failed, "an input of shape \(x.shape) does not fit weights of shape \(weightShape)")
    }
    let laid = try WindowGeometry(window.attributes, input: Array(x.shape[2...]), kernel: Array(weightShape[2...]))
    let geometry = ConvolutionGeometry(
      batch: x.shape[0], input: leadingOnes(laid.input), begin: leadingOnes(laid.padBegin, 0),
      end: leadingOnes(laid.padEnd, 0))
    let outputs = weightShape[0]
    let shape = [x.shape[0], outputs] + laid.output
    let rows = try context.elementCount(x.shape[0], laid.output.reduce(1, *))
    _ = try context.elementCount(rows, outputs, 4)
    _ = try context.elementCount(
      x.shape[0], x.shape[1],
      zip(laid.input, zip(laid.padBegin, laid.padEnd)).reduce(1) { $0 &* ($1.0 &+ $1.1.0 &+ $1.1.1) })
    context.count(rows &* outputs &* weightShape[1...].reduce(1, *))
    let convolution = try packed(zero)
    let workspace = TensorStorage(
      byteCount: try context.elementCount(try convolution.workspace(geometry)), pool: context.pool)
    let stored = IntegerTensor.storedShape(shape, channelsLast: true)
    let sums = try Tensor(of: Int32.self, shape: stored, pool: context.pool) { y in
      guard let base = y.baseAddress, rows > 0 else { return }
      try x.bytes.withElements(UInt8.self) {
        try convolution.run(
          geometry, $0.baseAddress!, into: UnsafeMutableRawPointer(base), workspace: workspace.base,
          pool: context.threads.handle)
      }
    }
    return [.runtime(.tensor(WideTensor(sums, shape: shape, isChannelsLast: true).plain(context.pool).codes))]
  }
}
