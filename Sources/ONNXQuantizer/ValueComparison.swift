import ONNXTensor

/// Equality of run-time values within tolerances, as the ONNX backend tests define it.
struct ValueComparison {
  var relative: Double
  var absolute: Double

  /// nil when `actual` passes for `expected`, else the first difference.
  func difference(_ expected: RuntimeValue, _ actual: RuntimeValue) -> String? {
    switch (expected, actual) {
    case (.tensor(let expected), .tensor(let actual)): difference(expected, actual)
    case (.sequence(let expected), .sequence(let actual)):
      expected.count != actual.count
        ? "sequence of \(actual.count) values, expected \(expected.count)"
        : zip(expected, actual).lazy.compactMap { difference($0, $1) }.first
    case (.optional(nil), .optional(nil)): nil
    case (.optional(let expected?), .optional(let actual?)): difference(expected, actual)
    case (.optional(let expected?), _): difference(expected, actual)
    case (_, .optional(let actual?)): difference(expected, actual)
    case (.map(let keys, let values), .map(let otherKeys, let otherValues)):
      difference(keys, otherKeys) ?? difference(values, otherValues)
    default: "another kind of value than expected"
    }
  }

  private func difference(_ expected: Tensor, _ actual: Tensor) -> String? {
    if expected.elementType != actual.elementType {
      return "\(actual.elementType.name), expected \(expected.elementType.name)"
    }
    if expected.shape != actual.shape { return "shape \(actual.shape), expected \(expected.shape)" }
    if let left = expected.strings, let right = actual.strings {
      return zip(left, right).enumerated().first { $0.element.0 != $0.element.1 }
        .map { "string \($0.offset) differs" }
    }
    guard let left = Self.doubles(expected), let right = Self.doubles(actual) else {
      return expected.withBytes { a in actual.withBytes { b in a.elementsEqual(b) } } ? nil : "bytes differ"
    }
    for (index, (x, y)) in zip(left, right).enumerated() where !isClose(x, y) {
      return "element \(index) is \(y), expected \(x)"
    }
    return nil
  }

  private func isClose(_ expected: Double, _ actual: Double) -> Bool {
    if expected == actual || (expected.isNaN && actual.isNaN) { return true }
    return (expected - actual).magnitude <= absolute + relative * expected.magnitude
  }

  private static func doubles(_ tensor: Tensor) -> [Double]? {
    switch tensor.elementType {
    case .float64: tensor.array(Double.self)
    case .complex64: tensor.withBytes { $0.bindMemory(to: Float.self).map(Double.init) }
    case .complex128: tensor.withBytes { Array($0.bindMemory(to: Double.self)) }
    case .int64: tensor.array(Int64.self).map(Double.init)
    case .uint64: tensor.array(UInt64.self).map(Double.init)
    case .int32: tensor.array(Int32.self).map(Double.init)
    case .uint32: tensor.array(UInt32.self).map(Double.init)
    case .string: nil
    default: tensor.floats?.map(Double.init)
    }
  }
}
