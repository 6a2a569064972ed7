import FloatKernels
import ONNXGraph
import ONNXTensor

/// One ONNX operator over all opset versions it has kernels for: how to run it, what it infers, how it quantizes.
///
/// A type conforms in a file of its own and is listed once, in the table of its family (`OperatorCatalog`).
package protocol Operator: SendableMetatype {
  /// "" is `ai.onnx`.
  static var domain: String { get }
  /// The `op_type`; by default the name of the Swift type.
  static var opType: String { get }

  /// Reads and checks the attributes once and gives the kernel to run any number of times.
  ///
  /// Throws `OperatorError` for attributes that make no sense. Shapes and types are checked when the kernel runs.
  static func prepare(_ node: OperatorNode) throws -> Kernel

  /// The output types as far as they follow from the input types; nil entries where nothing is known.
  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?]

  /// What a nested graph is called with, by position, as far as it follows from the node's inputs; nil when it
  /// is never run with these.
  static func bodyInputs(_ node: OperatorNode, _ body: Graph, _ inputs: [InferredValue?]) -> [InferredValue?]?

  /// How placement rules see the operator.
  static var quantization: QuantizationTraits { get }

  /// Multiply-accumulates of one run with these shapes; 0 for operators that are not counted.
  static func macs(_ node: OperatorNode, inputs: [[Int]?], outputs: [[Int]?]) -> Int
}

extension Operator {
  package static var domain: String { "" }
  // Not `String(describing:)`, which looks through all conformances of the program for each type.
  package static var opType: String { _typeName(Self.self, qualified: false) }
  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] { [] }
  package static func bodyInputs(
    _ node: OperatorNode, _ body: Graph, _ inputs: [InferredValue?]
  ) -> [InferredValue?]? { [] }
  package static var quantization: QuantizationTraits { .none }
  package static func macs(_ node: OperatorNode, inputs: [[Int]?], outputs: [[Int]?]) -> Int { 0 }
}

/// A prepared operator. Inputs that the node leaves out are nil; one result per output of the node.
package struct Kernel {
  package typealias Body = (_ inputs: [RuntimeValue?], _ context: EvaluationContext) throws -> [RuntimeValue?]
  package let body: Body

  package init(_ body: @escaping Body) { self.body = body }

  /// A kernel over tensors with one output; the operator has checked nothing about them yet.
  package static func tensors(
    _ body: @escaping (_ inputs: TensorInputs, _ context: EvaluationContext) throws -> Tensor
  ) -> Kernel {
    Kernel { inputs, context in [.tensor(try body(TensorInputs(inputs), context))] }
  }
}

/// The inputs of a kernel seen as tensors.
package struct TensorInputs {
  package let values: [RuntimeValue?]
  package init(_ values: [RuntimeValue?]) { self.values = values }

  package var count: Int { values.count }

  /// The tensor at `index`; an error when it is absent or no tensor.
  package subscript(index: Int) -> Tensor {
    get throws {
      guard index < values.count, let value = values[index] else {
        throw OperatorError("input \(index) is missing")
      }
      guard let tensor = value.tensor else { throw OperatorError("input \(index) is not a tensor") }
      if tensor.count == 0 { _ = try CheckedSize.product(tensor.shape) }
      return tensor
    }
  }

  /// The tensor at `index`, nil when the node leaves it out.
  package func optional(_ index: Int) throws -> Tensor? {
    guard index < values.count, values[index] != nil else { return nil }
    return try self[index]
  }
}

/// What kernels need from whoever runs them.
package struct EvaluationContext {
  package var threads: ThreadPool
  package var pool: BufferPool?
  /// How many outputs the node has, absent ones counted.
  package var outputCount: Int
  /// Runs a graph nested in the node: its graph inputs by position, captured values from the surroundings.
  package var runGraph: (_ graph: Graph, _ inputs: [RuntimeValue?]) throws -> [RuntimeValue]

  package init(
    threads: ThreadPool = .serial, pool: BufferPool? = nil, outputCount: Int = 1,
    runGraph: @escaping (Graph, [RuntimeValue?]) throws -> [RuntimeValue] = { _, _ in
      throw OperatorError("nested graphs cannot be run here")
    }
  ) {
    self.threads = threads
    self.pool = pool
    self.outputCount = outputCount
    self.runGraph = runGraph
  }
}
