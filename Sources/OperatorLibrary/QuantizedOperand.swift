import ONNXTensor

/// The codes of a quantized tensor as integers, and how they became reals: what the QLinear operators read.
struct QuantizedOperand {
  let elementType: ElementType
  let shape: [Int]
  /// Codes less their zero points.
  var centred: [Int32]
  let scales: [Float]

  /// `axis` is the channel axis of one-dimensional parameters.
  init(_ tensor: Tensor, scale: Tensor?, zeroPoint: Tensor?, axis: Int? = nil, what: String) throws {
    guard
      tensor.elementType == .int8 || tensor.elementType == .uint8 || tensor.elementType == .int16
        || tensor.elementType == .uint16, let codes = tensor.integers
    else { throw OperatorError("\(what) has type \(tensor.elementType.name), which is not a quantized type") }
    elementType = tensor.elementType
    shape = tensor.shape
    scales = try scale.map { try $0.reals(Float.self) } ?? [1]
    let zeros = try Self.zeroPoints(zeroPoint, of: tensor.elementType, what: what)
    let channels = axis.map { tensor.shape[$0] } ?? 1
    for (name, count) in [("scale", scales.count), ("zero point", zeros.count)] where count != 1 {
      guard axis != nil, count == channels else {
        throw OperatorError("\(what) has a \(name) of \(count) elements, expected 1 or \(channels)")
      }
    }
    if zeros.count == 1 {
      let zero = Int32(zeros[0])
      centred = codes.map { Int32($0) - zero }
    } else {
      let inner = axis.map { extent(tensor.shape[($0 + 1)...]) } ?? 1
      centred = codes.enumerated().map { Int32($1) - Int32(zeros[$0 / inner % channels]) }
    }
  }

  /// The zero points of a tensor of `type`: they have the same type; absent ones are 0.
  static func zeroPoints(_ tensor: Tensor?, of type: ElementType, what: String) throws -> [Int] {
    guard let tensor else { return [0] }
    try tensor.require(type, "the zero point of \(what)")
    guard let values = tensor.integers, !values.isEmpty else {
      throw OperatorError("the zero point of \(what) is empty")
    }
    return values
  }

  /// The scale of channel `index` where scales are per channel, else the only one.
  func scale(_ index: Int) -> Float { scales.count == 1 ? scales[0] : scales[index] }
}

/// Rounds float results to codes: saturate(round half to even(value) + zero point).
struct Requantizer {
  let elementType: ElementType
  let scale: Float
  let zeroPoint: Int
  private let low: Float
  private let high: Float

  init(scale: Tensor, zeroPoint: Tensor?, default type: ElementType) throws {
    elementType = zeroPoint?.elementType ?? type
    self.scale = try scale.scalarReal("the output scale")
    self.zeroPoint = try zeroPoint?.scalarInteger("the output zero point") ?? 0
    switch elementType {
    case .int8: (low, high) = (-128, 127)
    case .uint8: (low, high) = (0, 255)
    case .int16: (low, high) = (-32768, 32767)
    case .uint16: (low, high) = (0, 65535)
    default: throw OperatorError("the output zero point has type \(elementType.name)")
    }
  }

  /// `value` counts output steps.
  func code(_ value: Float) -> Int {
    if value.isNaN { return zeroPoint }
    return Int(min(max(value.rounded(.toNearestOrEven) + Float(zeroPoint), low), high))
  }

  func tensor(_ codes: [Int], shape: [Int]) -> Tensor {
    switch elementType {
    case .int8: Tensor(codes.map { Int8($0) }, shape: shape)
    case .uint8: Tensor(codes.map { UInt8($0) }, shape: shape)
    case .int16: Tensor(codes.map { Int16($0) }, shape: shape)
    default: Tensor(codes.map { UInt16($0) }, shape: shape)
    }
  }

  /// The codes of real values.
  func quantize(_ values: [Float], shape: [Int]) -> Tensor {
    tensor(values.map { code($0 / scale) }, shape: shape)
  }
}
