import Glibc
import ONNXTensor

/// A type that sums of products are formed in. Integers wrap around, as ONNX's reference does.
protocol ComputeElement: TensorElement, Equatable {
  static var zero: Self { get }
  static var one: Self { get }
  static func accumulate(_ sum: inout Self, _ left: Self, _ right: Self)
}

extension Float: ComputeElement {
  static var one: Float { 1 }
  @inline(__always) static func accumulate(_ sum: inout Float, _ left: Float, _ right: Float) { sum += left * right }
}
extension Double: ComputeElement {
  static var one: Double { 1 }
  @inline(__always) static func accumulate(_ sum: inout Double, _ left: Double, _ right: Double) {
    sum += left * right
  }
}
extension ComputeElement where Self: FixedWidthInteger {
  static var one: Self { 1 }
  @inline(__always) static func accumulate(_ sum: inout Self, _ left: Self, _ right: Self) { sum &+= left &* right }
}
extension Int32: ComputeElement {}
extension Int64: ComputeElement {}
extension UInt32: ComputeElement {}
extension UInt64: ComputeElement {}

/// The types of real arithmetic: Double for float64, Float for float32 and everything narrower.
protocol ComputeReal: ComputeElement, BinaryFloatingPoint {
  static func exp(_ x: Self) -> Self
  static func log(_ x: Self) -> Self
  static func log1p(_ x: Self) -> Self
  static func tanh(_ x: Self) -> Self
  static func erf(_ x: Self) -> Self
  static func pow(_ x: Self, _ y: Self) -> Self
  /// The elements of a real-valued tensor; nil for strings and complex.
  static func elements(of tensor: Tensor) -> [Self]?
}

extension Float: ComputeReal {
  static func exp(_ x: Float) -> Float { expf(x) }
  static func log(_ x: Float) -> Float { logf(x) }
  static func log1p(_ x: Float) -> Float { log1pf(x) }
  static func tanh(_ x: Float) -> Float { tanhf(x) }
  static func erf(_ x: Float) -> Float { erff(x) }
  static func pow(_ x: Float, _ y: Float) -> Float { powf(x, y) }
  static func elements(of tensor: Tensor) -> [Float]? { tensor.floats }
}

extension Double: ComputeReal {
  static func exp(_ x: Double) -> Double { Glibc.exp(x) }
  static func log(_ x: Double) -> Double { Glibc.log(x) }
  static func log1p(_ x: Double) -> Double { Glibc.log1p(x) }
  static func tanh(_ x: Double) -> Double { Glibc.tanh(x) }
  static func erf(_ x: Double) -> Double { Glibc.erf(x) }
  static func pow(_ x: Double, _ y: Double) -> Double { Glibc.pow(x, y) }
  static func elements(of tensor: Tensor) -> [Double]? {
    tensor.elementType == .float64 ? tensor.array(Double.self) : tensor.floats?.map(Double.init)
  }
}

extension ComputeReal {
  static func sigmoid(_ x: Self) -> Self { 1 / (1 + exp(-x)) }
}

extension ElementType {
  /// What the floating-point type is computed in; an error for other types.
  func computeType(what: String = "input 0") throws(OperatorError) -> any ComputeReal.Type {
    switch self {
    case .float64: Double.self
    case .float32, .float16, .bfloat16: Float.self
    default: throw OperatorError("\(what) has type \(name); expected float, double, float16 or bfloat16")
    }
  }
}

extension Tensor {
  /// The elements converted to `T`; an error for strings and complex.
  func reals<T: ComputeReal>(_ type: T.Type = T.self) throws(OperatorError) -> [T] {
    guard let elements = T.elements(of: self) else {
      throw OperatorError("an input has type \(elementType.name); expected a real type")
    }
    return elements
  }

  /// Rounds `values` to a tensor of `elementType`.
  init<T: ComputeReal>(reals values: [T], as elementType: ElementType, shape: [Int]) throws(OperatorError) {
    switch elementType {
    case .float64: self.init(values.map { Double($0) }, shape: shape)
    case .float32: self.init(values.map { Float($0) }, shape: shape)
    case .float16: self.init(values.map { Float16($0) }, shape: shape)
    case .bfloat16: self.init(values.map { BFloat16(Float($0)) }, shape: shape)
    default: throw OperatorError("cannot give a result of type \(elementType.name)")
    }
  }

  /// Throws unless the shape is `expected`.
  func require(shape expected: [Int], _ what: String) throws(OperatorError) {
    guard shape == expected else { throw OperatorError("\(what) has shape \(shape), expected \(expected)") }
  }

  func require(_ expected: ElementType, _ what: String) throws(OperatorError) {
    guard elementType == expected else {
      throw OperatorError("\(what) has type \(elementType.name), expected \(expected.name)")
    }
  }

  func require(rank expected: Int, _ what: String) throws(OperatorError) {
    guard rank == expected else { throw OperatorError("\(what) has rank \(rank), expected \(expected)") }
  }

  /// The single integer that the tensor holds.
  func scalarInteger(_ what: String) throws(OperatorError) -> Int {
    guard let value = integers, value.count == 1 else { throw OperatorError("\(what) is not a single integer") }
    return value[0]
  }

  func scalarReal<T: ComputeReal>(_ what: String, as type: T.Type = T.self) throws(OperatorError) -> T {
    guard let value = T.elements(of: self), value.count == 1 else {
      throw OperatorError("\(what) is not a single number")
    }
    return value[0]
  }
}
