import ONNXTensor

extension Tensor {
  /// float16 and bfloat16 as float32, which holds them exactly; other types as they are.
  func widened(pool: BufferPool? = nil) -> Tensor {
    switch elementType {
    case .float16:
      withElements(Float16.self) { source in
        Tensor(of: Float.self, shape: shape, pool: pool) { out in
          for index in source.indices { out[index] = Float(source[index]) }
        }
      }
    case .bfloat16:
      withElements(BFloat16.self) { source in
        Tensor(of: Float.self, shape: shape, pool: pool) { out in
          for index in source.indices { out[index] = source[index].float }
        }
      }
    default: self
    }
  }

  /// float32 rounded to float16 or bfloat16; as it is for other targets.
  func narrowed(to type: ElementType, pool: BufferPool? = nil) -> Tensor {
    guard elementType == .float32 else { return self }
    switch type {
    case .float16:
      return withElements(Float.self) { source in
        Tensor(of: Float16.self, shape: shape, pool: pool) { out in
          for index in source.indices { out[index] = Float16(source[index]) }
        }
      }
    case .bfloat16:
      return withElements(Float.self) { source in
        Tensor(of: BFloat16.self, shape: shape, pool: pool) { out in
          for index in source.indices { out[index] = BFloat16(source[index]) }
        }
      }
    default: return self
    }
  }

  /// The elements as `T`, or an error that names the type found.
  func typed<T: TensorElement>(_ type: T.Type, _ what: String) throws -> [T] {
    guard elementType == T.elementType else {
      throw OperatorError("\(what) must be \(T.elementType.name), not \(elementType.name)")
    }
    return array(T.self)
  }

  /// The elements of an integer tensor, or an error that names the type found.
  func integers(_ what: String) throws -> [Int] {
    guard let integers, elementType != .bool else {
      throw OperatorError("\(what) must be integers, not \(elementType.name)")
    }
    return integers
  }

  /// The one element of an integer tensor.
  func integer(_ what: String) throws -> Int {
    guard count == 1 else { throw OperatorError("\(what) must have one element, its shape is \(shape)") }
    return try integers(what)[0]
  }

  /// The one element of a bool tensor.
  func condition(_ what: String) throws -> Bool {
    guard count == 1, elementType == .bool else {
      throw OperatorError("\(what) must be one bool, it is \(elementType.name) of shape \(shape)")
    }
    return withBytes { $0[0] != 0 }
  }

  /// Real elements as Double, exact for all types but 64-bit integers; nil for strings and complex types.
  var doubles: [Double]? {
    switch elementType {
    case .float64: array(Double.self)
    case .int64: array(Int64.self).map(Double.init)
    case .uint64: array(UInt64.self).map(Double.init)
    case .int32: array(Int32.self).map(Double.init)
    case .uint32: array(UInt32.self).map(Double.init)
    default: floats?.map(Double.init)
    }
  }

  /// `values` as a tensor of a real type, rounded or truncated as a cast does.
  init(_ values: [Double], shape: [Int], castTo type: ElementType) throws {
    switch type {
    case .float64: self.init(values, shape: shape)
    case .float32: self.init(values.map(Float.init), shape: shape)
    default: self = try ElementCast().apply(Tensor(values, shape: shape), to: type)
    }
  }

  /// Zeros, or empty strings.
  static func zeros(_ type: ElementType, shape: [Int], pool: BufferPool? = nil) -> Tensor {
    if type == .string { return Tensor(strings: Array(repeating: [], count: shape.reduce(1, *)), shape: shape) }
    return Tensor(type, shape: shape, pool: pool) { $0.initializeMemory(as: UInt8.self, repeating: 0) }
  }
}

/// All inputs must have one element type.
func requireSameType(_ tensors: [Tensor]) throws {
  guard let first = tensors.first else { return }
  for tensor in tensors where tensor.elementType != first.elementType {
    throw OperatorError(
      "the inputs have different element types: \(first.elementType.name), \(tensor.elementType.name)")
  }
}

/// No kernel for this element type.
func unsupported(_ type: ElementType) -> OperatorError {
  OperatorError("element type \(type.name) is not supported here")
}
