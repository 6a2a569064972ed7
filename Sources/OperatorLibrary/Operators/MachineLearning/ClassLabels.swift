import ONNXTensor

/// The labels of a classifier: integers or strings.
enum ClassLabels {
  case integers([Int])
  case strings([[UInt8]])

  /// Nil where the node has neither attribute.
  init?(_ node: OperatorNode, integers: String, strings: String) throws {
    if let labels = try node.strings(strings), !labels.isEmpty {
      self = .strings(labels)
    } else if let labels = try node.ints(integers), !labels.isEmpty {
      self = .integers(labels)
    } else {
      return nil
    }
  }

  var count: Int {
    switch self {
    case .integers(let labels): labels.count
    case .strings(let labels): labels.count
    }
  }

  var elementType: ElementType {
    switch self {
    case .integers: .int64
    case .strings: .string
    }
  }

  /// The labels of classes by number, -1 standing for "none" (0 or the empty string).
  func tensor(_ classes: [Int]) -> Tensor {
    switch self {
    case .integers(let labels):
      Tensor(classes.map { labels.indices.contains($0) ? Int64(labels[$0]) : 0 }, shape: [classes.count])
    case .strings(let labels):
      Tensor(strings: classes.map { labels.indices.contains($0) ? labels[$0] : [] }, shape: [classes.count])
    }
  }
}

/// Rows of features in float64.
struct FeatureMatrix {
  let rows: Int
  let columns: Int
  let values: [Double]

  /// A vector is one row.
  init(_ x: Tensor) throws {
    guard (1...2).contains(x.rank) else { throw OperatorError("the input has rank \(x.rank), it must be [N, F]") }
    guard let values = x.doubles else { throw unsupported(x.elementType) }
    rows = x.rank == 2 ? x.shape[0] : 1
    columns = x.shape[x.rank - 1]
    self.values = values
  }

  func row(_ index: Int) -> ArraySlice<Double> { values[index * columns..<(index + 1) * columns] }
}

/// The product of a row and a vector of the same length.
func dot(_ a: ArraySlice<Double>, _ b: ArraySlice<Double>) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }

/// The first of the largest.
func indexOfLargest(_ values: [Double]) -> Int {
  values.indices.max { values[$0] < values[$1] || (values[$0] == values[$1] && $0 > $1) } ?? 0
}

extension InferredValue {
  /// Rows of the first input by `columns` (nil: unknown).
  static func rows(of inputs: [InferredValue?], _ type: ElementType, columns: Int?) -> InferredValue {
    let dims = ShapeInference.input(inputs, 0)?.dimensions
    let rows = dims.map { $0.count == 2 ? $0[0] : .known(1) } ?? .unknown
    return .tensor(type, dimensions: [rows, columns.map { .known($0) } ?? .unknown])
  }

  static func labels(of inputs: [InferredValue?], _ type: ElementType) -> InferredValue {
    let dims = ShapeInference.input(inputs, 0)?.dimensions
    return .tensor(type, dimensions: [dims.map { $0.count == 2 ? $0[0] : .known(1) } ?? .unknown])
  }
}

/// An operator of the domain `ai.onnx.ml`.
protocol MachineLearningOperator: Operator {}

extension MachineLearningOperator {
  package static var domain: String { "ai.onnx.ml" }
}
