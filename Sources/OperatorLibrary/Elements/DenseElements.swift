import ONNXTensor

/// Lets operators that only move elements see every type as elements of 1, 2, 4, 8 or 16 bytes.
///
/// Packed types are unpacked to one code a byte and packed again; strings are moved as their positions.
enum DenseElements {
  /// Applies `body` to tensors of one type; its result is of the same type.
  static func apply(_ tensors: [Tensor], _ body: ([Tensor]) throws -> Tensor) throws -> Tensor {
    try applyAll(tensors) { [try body($0)] }[0]
  }

  /// As `apply`, with any number of results.
  static func applyAll(_ tensors: [Tensor], _ body: ([Tensor]) throws -> [Tensor]) throws -> [Tensor] {
    guard let type = tensors.first?.elementType else { return try body(tensors) }
    try requireSameType(tensors)
    if type == .string {
      var strings: [[UInt8]] = []
      var positions: [Tensor] = []
      for tensor in tensors {
        let start = Int64(strings.count)
        let own = tensor.strings ?? []
        positions.append(Tensor(own.indices.map { start + Int64($0) }, shape: tensor.shape))
        strings += own
      }
      return try body(positions).map { result in
        Tensor(strings: result.array(Int64.self).map { strings[Int($0)] }, shape: result.shape)
      }
    }
    if type.bitWidth < 8 {
      let codes = tensors.map { Tensor($0.storedCodes, shape: $0.shape) }
      return try body(codes).map { Tensor(codes: $0.array(UInt8.self), elementType: type, shape: $0.shape) }
    }
    return try body(tensors)
  }

  static func apply(_ tensor: Tensor, _ body: (Tensor) throws -> Tensor) throws -> Tensor {
    try move(tensor, body)
  }

  /// As `apply`, throwing only what `body` throws.
  static func move(_ tensor: Tensor, _ body: (Tensor) throws -> Tensor) rethrows -> Tensor {
    if let strings = tensor.strings {
      let moved = try body(Tensor(strings.indices.map { Int64($0) }, shape: tensor.shape))
      return Tensor(strings: moved.array(Int64.self).map { strings[Int($0)] }, shape: moved.shape)
    }
    guard tensor.elementType.bitWidth < 8 else { return try body(tensor) }
    let codes = try body(Tensor(tensor.storedCodes, shape: tensor.shape))
    return Tensor(codes: codes.array(UInt8.self), elementType: tensor.elementType, shape: codes.shape)
  }
}

extension Tensor {
  /// Bytes of one element; only for types of whole bytes.
  var elementBytes: Int { elementType.bitWidth / 8 }
}
