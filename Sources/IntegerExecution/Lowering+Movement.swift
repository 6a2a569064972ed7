import FloatExecution
import FloatKernels
import IntegerKernels
import ONNXGraph
import ONNXTensor
import OperatorLibrary

extension Lowering {
  /// Operators whose output elements are elements of input 0 (Pad's constant apart), in any element type.
  private static let movements: Set<String> = [
    "DepthToSpace", "Expand", "Flatten", "Gather", "GatherElements", "GatherND", "Pad", "Reshape",
    "ReverseSequence", "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze",
  ]

  /// The parameters of a quantized tensor of which only elements were moved since, without a Q behind; exact, as elements
  /// stay what they are and Pad's constant is one of the reals that the parameters have.
  func movedParameters(_ value: Value) -> ActivationParameters? {
    guard let node = value.producer, node.canonicalDomain.isEmpty,
      Self.movements.contains(node.opType) || node.opType == "MaxPool", let input = node.input(0),
      let parameters = source(input)?.parameters ?? movedParameters(input)
    else { return nil }
    if node.opType == "Pad", (node.string("mode") ?? "constant") == "constant" {
      let fill = node.input(2) == nil ? node.float("value") ?? 0 : node.input(2).flatMap { scalar($0) }
      guard let fill, parameters.dequantize(parameters.quantize(fill)) == fill else { return nil }
    }
    return parameters
  }

  /// True where the output's elements are elements of input 0.
  func isMovement(_ node: Node) -> Bool {
    Self.movements.contains(node.opType)
      || (node.opType == "Resize" || node.opType == "Upsample") && (node.string("mode") ?? "nearest") == "nearest"
        && node.string("coordinate_transformation_mode") != "tf_crop_and_resize"
  }

  /// Moves bytes instead of reals: quantization is the same for every element, so it can be done before.
  func movement(_ node: Node, _ value: Value, _ target: QuantizationTarget) throws -> Int? {
    guard isMovement(node), let input = node.input(0), let index = value.outputIndex
    else {
      return nil
    }
    // Other outputs of the node, or other readers of this one, would need the reals as well.
    let isSource = source(input) != nil
    guard isSource || (isPrivate(value) && isPrivate(input) && node.outputs.count == 1) else { return nil }
    guard let moved = try integer(input, target) else { return nil }
    var inputs: [Int?] = [moved]
    for (position, other) in node.inputs.enumerated().dropFirst() {
      guard let other else {
        inputs.append(nil)
        continue
      }
      if node.opType == "Pad", position == 2 {
        guard let fill = scalar(other) else { return nil }
        inputs.append(constantSlot(.runtime(.tensor(Tensor(scalar: target.bounded(target.parameters.quantize(fill)))))))
      } else {
        inputs.append(try runtime(other))
      }
    }
    var fill: UInt8?
    if node.opType == "Pad", (node.string("mode") ?? "constant") == "constant", node.input(2) == nil {
      fill = target.bounded(target.parameters.quantize(node.float("value") ?? 0))
      guard node.attribute("pads") == nil else { return nil }
      while inputs.count < 2 { inputs.append(nil) }
      if inputs.count == 2 { inputs.append(nil) }
    }
    let known = node.inputs.enumerated().map { position, other in
      MovementStep.isQuantized(position, of: node) ? nil : other.flatMap { constant($0) }
    }
    guard let kernel = try? context.prepare(node, constants: known) else { return nil }
    return emit(node, .integer, inputs, MovementStep(node, output: index, fill: fill, LazyKernel(.success(kernel))))
  }

  /// Where: bytes of either input, brought to the same parameters before.
  func selection(_ node: Node, _ target: QuantizationTarget) throws -> Int? {
    guard let condition = node.input(0), node.inputs.count == 3,
      node.inputs.dropFirst().contains(where: { $0.map { source($0) != nil } ?? false })
    else { return nil }
    var inputs: [Int?] = [try runtime(condition)]
    for value in node.inputs.dropFirst() {
      guard let value else { return nil }
      if let tensor = constant(value), let values = tensor.floats {
        let bytes = Tensor(values.map { target.bounded(target.parameters.quantize($0)) }, shape: tensor.shape)
        inputs.append(constantSlot(.integer(IntegerTensor(plain: bytes))))
      } else {
        inputs.append(try integerOrQuantized(value, target, at: node))
      }
    }
    let known = [constant(condition), nil, nil]
    guard let kernel = try? context.prepare(node, constants: known) else { return nil }
    return emit(node, .integer, inputs, MovementStep(node, output: 0, fill: nil, LazyKernel(.success(kernel))))
  }

  /// Concatenates bytes that have been brought to the same parameters.
  func concat(_ node: Node, _ target: QuantizationTarget) throws -> Int? {
    let inputs = node.inputs.compactMap { $0 }
    guard let axis = node.int("axis"), !inputs.isEmpty, inputs.contains(where: { source($0) != nil || isPrivate($0) })
    else {
      return nil
    }
    guard
      inputs.contains(where: {
        source($0) != nil || $0.producer.map { ["Conv", "Relu", "Clip", "MaxPool"].contains($0.opType) } ?? false
      })
    else { return nil }
    var slots: [Int?] = []
    for input in inputs {
      if let tensor = constant(input), let values = tensor.floats {
        let bytes = Tensor(values.map { target.bounded(target.parameters.quantize($0)) }, shape: tensor.shape)
        slots.append(constantSlot(.integer(IntegerTensor(plain: bytes))))
      } else {
        slots.append(try integerOrQuantized(input, target, at: node))
      }
    }
    return emit(node, .integer, slots, ConcatStep(axis: axis))
  }
}

func concatenate(_ tensors: [IntegerTensor], axis: Int, _ context: StepContext) throws -> IntegerTensor {
  let rank = tensors[0].shape.count
  let axis = axis < 0 ? axis + rank : axis
  guard axis >= 0, axis < rank, tensors.allSatisfy({ $0.shape.count == rank }) else {
    throw ExecutionError(.failed, "the inputs' ranks do not fit the axis")
  }
  let channelsLast = tensors.allSatisfy(\.isChannelsLast)
  let parts = channelsLast ? tensors : tensors.map { $0.plain(context.pool) }
  var shape = parts[0].shape
  shape[axis] = parts.reduce(0) { $0 + $1.shape[axis] }
  for part in parts {
    for d in 0..<rank where d != axis && part.shape[d] != shape[d] {
      throw ExecutionError(.failed, "shapes \(parts.map(\.shape)) cannot be joined along axis \(axis)")
    }
  }
  // Channels last, axis 1 lies at the end and the spatial axes one further to the front.
  let stored = channelsLast ? (axis == 0 ? 0 : axis == 1 ? rank - 1 : axis - 1) : axis
  let storedShape = IntegerTensor.storedShape(shape, channelsLast: channelsLast)
  let outer = storedShape[..<stored].reduce(1, *)
  let row = storedShape[stored...].reduce(1, *)
  let bytes = Tensor(of: UInt8.self, shape: storedShape, pool: context.pool) { out in
    var offset = 0
    for part in parts {
      let run = part.bytes.shape[stored...].reduce(1, *)
      part.bytes.withElements(UInt8.self) { x in
        for o in 0..<outer where run > 0 {
          (out.baseAddress! + o * row + offset).update(from: x.baseAddress! + o * run, count: run)
        }
      }
      offset += run
    }
  }
  return IntegerTensor(bytes, shape: shape, isChannelsLast: channelsLast)
}

extension Tensor {
  /// The tensor in memory that kernels may read past its end.
  func ownedForKernels(_ pool: BufferPool?) -> Tensor {
    // A view of the whole of owned memory has the spare bytes that every owned buffer has.
    if byteOffset + byteCount <= storage.byteCount, storage.isOwned { return self }
    return Tensor(of: UInt8.self, shape: shape, pool: pool) { out in
      withElements(UInt8.self) { _ = out.update(fromContentsOf: $0) }
    }
  }
}
