import ONNXGraph
import ONNXTensor

typealias Dimension = ValueType.Dimension

extension ValueType.Dimension {
  static var unknown: Dimension { Dimension(.unknown) }
  static func known(_ extent: Int) -> Dimension { Dimension(.value(Int64(extent))) }

  /// The extent when it is a number.
  var known: Int? {
    if case .value(let extent) = extent, extent >= 0 { Int(extent) } else { nil }
  }

  /// What two dimensions of tensors broadcast to.
  func broadcast(with other: Dimension) throws -> Dimension {
    switch (known, other.known) {
    case (1, _): return other
    case (_, 1): return self
    case (let a?, let b?):
      guard a == b else { throw OperatorError("dimensions \(a) and \(b) cannot be broadcast together") }
      return self
    case (_?, nil): return self
    case (nil, _?): return other
    case (nil, nil): return extent == other.extent ? self : .unknown
    }
  }

  /// What is true of both.
  func common(with other: Dimension) -> Dimension { extent == other.extent ? self : .unknown }
}

extension InferredValue {
  var dimensions: [Dimension]? { type.tensorType?.shape }
  var rank: Int? { dimensions?.count }

  /// A tensor of which the type, the rank or dimensions may be unknown.
  static func tensor(_ elementType: ElementType?, dimensions: [Dimension]?) -> InferredValue {
    InferredValue(
      ValueType(
        .tensor(
          ValueType.TensorType(
            elementType: elementType?.rawValue,
            shape: dimensions?.map { Dimension($0.extent) }))))
  }
}

/// Rules of shape inference that operators share.
enum ShapeInference {
  /// Constants up to this many elements are computed during inference; shapes are never longer.
  static let largestFold = 1024

  /// The outputs computed, when all inputs are known and small; nil otherwise.
  static func folded(
    _ type: any Operator.Type, _ node: OperatorNode, _ inputs: [InferredValue?]
  ) -> [InferredValue?]? {
    guard !inputs.isEmpty else { return nil }
    var values: [RuntimeValue?] = []
    for (index, input) in inputs.enumerated() {
      if !node.hasInput(index) {
        values.append(nil)
      } else if let constant = input?.constant, constant.count <= largestFold {
        values.append(.tensor(constant))
      } else {
        return nil
      }
    }
    let context = EvaluationContext(outputCount: node.node.outputs.count)
    guard let results = try? type.prepare(node).body(values, context) else { return nil }
    return results.map { value in
      guard let tensor = value?.tensor else { return nil }
      let isSmall = tensor.count <= largestFold
      return InferredValue(.tensor(tensor.elementType, tensor.shape), constant: isSmall ? tensor : nil)
    }
  }

  static func input(_ inputs: [InferredValue?], _ index: Int) -> InferredValue? {
    index < inputs.count ? inputs[index] : nil
  }

  /// One output of input 0's shape, and its type unless `type` is given.
  static func same(_ inputs: [InferredValue?], as type: ElementType? = nil) -> [InferredValue?] {
    guard let first = input(inputs, 0) else {
      return type.map { [.tensor($0, dimensions: nil)] } ?? []
    }
    guard first.type.tensorType != nil else { return [] }
    return [.tensor(type ?? first.elementType, dimensions: first.dimensions)]
  }

  /// One output of the shape that the inputs broadcast to.
  static func broadcast(_ inputs: [InferredValue?], as type: ElementType? = nil) throws -> [InferredValue?] {
    let elementType = type ?? inputs.lazy.compactMap { $0?.elementType }.first
    return [.tensor(elementType, dimensions: try broadcastDimensions(inputs.map { $0?.dimensions }))]
  }

  static func broadcastDimensions(_ shapes: [[Dimension]?]) throws -> [Dimension]? {
    var result: [Dimension] = []
    for shape in shapes {
      guard let shape else { return nil }
      if shape.count > result.count { result.insert(contentsOf: shape.prefix(shape.count - result.count), at: 0) }
      let offset = result.count - shape.count
      for index in shape.indices where offset + index < result.count {
        result[offset + index] = try result[offset + index].broadcast(with: shape[index])
      }
    }
    return result
  }

  /// Product of dimensions when all are numbers.
  static func product(_ dims: some Sequence<Dimension>) -> Dimension {
    var product = 1
    for dim in dims {
      guard let value = dim.known else { return .unknown }
      let (next, overflow) = product.multipliedReportingOverflow(by: value)
      guard !overflow else { return .unknown }
      product = next
    }
    return .known(product)
  }

  /// The elements of input `index` when it is a known tensor of integers.
  static func integers(_ inputs: [InferredValue?], _ index: Int) -> [Int]? {
    input(inputs, index)?.constant?.integers
  }
}

extension OperatorNode {
  /// The element type that attribute `name` holds as a `TensorProto.DataType` number.
  func elementType(_ name: String) throws -> ElementType? {
    guard let code = try int(name) else { return nil }
    guard let type = Int32(exactly: code).flatMap(ElementType.init) else {
      throw OperatorError("attribute '\(name)' is \(code), which is no element type")
    }
    return type
  }
}
