import ONNXGraph
import ONNXTensor

/// What a model says of one of its inputs.
package struct InputDescription: Sendable, Equatable {
  package var name: String
  /// nil where the model does not say.
  package var elementType: ElementType?
  /// nil where even the rank is open; nil extents are dynamic.
  package var shape: [Int?]?

  package init(name: String, elementType: ElementType?, shape: [Int?]?) {
    self.name = name
    self.elementType = elementType
    self.shape = shape
  }

  /// The inputs that a caller must give, in the model's order.
  package static func inputs(of model: Model) -> [InputDescription] {
    model.graph.inputs.filter { model.graph.initializer(for: $0.value) == nil }.map { port in
      let type = (port.info.type ?? port.value.type)?.tensorType
      return InputDescription(
        name: port.value.name, elementType: type?.elementType.flatMap(ElementType.init),
        shape: type?.shape?.map { dimension in
          // Exporters write 0 and -1 for "unknown".
          if case .value(let extent) = dimension.extent, extent > 0 { Int(clamping: extent) } else { nil }
        })
    }
  }

  /// `float[N, 3, 224, 224]`, dynamic extents as `?`.
  package var typeText: String {
    let extents =
      shape.map { "[" + $0.map { $0.map(String.init) ?? "?" }.joined(separator: ", ") + "]" } ?? "of any shape"
    return "\(elementType?.name ?? "any type")\(shape == nil ? " " : "")\(extents)"
  }

  /// Whether `shape` is one that the model takes.
  func accepts(_ given: [Int]) -> Bool {
    guard let shape else { return true }
    return given.count == shape.count && zip(shape, given).allSatisfy { $0 == nil || $0 == $1 }
  }
}

extension Tensor {
  /// The elements in the type that `input` declares.
  ///
  /// Floats become other floats, integers wider integers or narrower ones that hold every element, bool and uint8 each
  /// other. An integer file for a float input is refused: whether it is to be scaled is not ours to guess.
  func converted(to input: InputDescription, location: String) throws(DataError) -> Tensor {
    guard let wanted = input.elementType, wanted != elementType else { return self }
    func misfit(_ advice: String) -> DataError {
      DataError(
        .mismatch, "holds \(elementType.name), input '\(input.name)' is \(input.typeText)", at: location, advice: advice
      )
    }
    if elementType.isFloatingPoint && wanted.isFloatingPoint {
      switch wanted {
      case .float32: if let floats { return Tensor(floats, shape: shape) }
      case .float16: if let floats { return Tensor(floats.map { Float16($0) }, shape: shape) }
      case .bfloat16: if let floats { return Tensor(floats.map { BFloat16($0) }, shape: shape) }
      case .float64: if let floats { return Tensor(floats.map { Double($0) }, shape: shape) }
      default: break
      }
      throw misfit("save the data in that type")
    }
    if let integers, wanted.isInteger || wanted == .bool {
      func narrowed<T: FixedWidthInteger & TensorElement>(_ type: T.Type) throws(DataError) -> Tensor {
        var result: [T] = []
        result.reserveCapacity(integers.count)
        for value in integers {
          guard let exact = T(exactly: value) else { throw misfit("\(value) does not fit that type") }
          result.append(exact)
        }
        return Tensor(result, shape: shape)
      }
      switch wanted {
      case .int64: return try narrowed(Int64.self)
      case .int32: return try narrowed(Int32.self)
      case .int16: return try narrowed(Int16.self)
      case .int8: return try narrowed(Int8.self)
      case .uint64: return try narrowed(UInt64.self)
      case .uint32: return try narrowed(UInt32.self)
      case .uint16: return try narrowed(UInt16.self)
      case .uint8: return try narrowed(UInt8.self)
      case .bool where elementType == .uint8: return Tensor(integers.map { $0 != 0 }, shape: shape)
      default: break
      }
    }
    if wanted.isFloatingPoint {
      throw misfit(
        "say how integers become floats: --preset raw takes them as they are, --scale /255 divides, or save the file as float32"
      )
    }
    throw misfit("save the data in that type")
  }
}
