import ONNXGraph
import ONNXTensor
import OperatorLibrary
import TestSupport

/// Runs operators on random shapes, types and attributes.
struct OperatorFuzzer {
  var random: SeededGenerator
  let seed: UInt64

  init(name: String, seed: UInt64) {
    self.seed = seed
    random = SeededGenerator(seed: name.utf8.reduce(seed &* 7919) { ($0 ^ UInt64($1)) &* 1_099_511_628_211 })
  }

  mutating func pick<T>(_ values: [T]) -> T { values[Int.random(in: 0..<values.count, using: &random)] }

  mutating func shape() -> [Int] {
    let rank = pick([0, 1, 1, 2, 2, 3, 4, 4, 5, 6])
    return (0..<rank).map { _ in pick([0, 1, 1, 2, 2, 3, 4]) }
  }

  mutating func tensor() -> Tensor {
    let type = pick(
      [.float32, .float32, .float32, .int64, .int64] + ElementType.allCases)
    var shape = shape()
    // Shapes and axes come as short vectors.
    if type == .int64, Bool.random(using: &random) { shape = [Int.random(in: 0...4, using: &random)] }
    let count = shape.reduce(1, *)
    switch type {
    case .string:
      return Tensor(strings: (0..<count).map { _ in Array(pick(["", "a", "1.5", "b c"]).utf8) }, shape: shape)
    case .int64:
      let values: [Int64] = (0..<count).map { _ in pick([0, 1, 1, 2, 3, -1, -2, 4, .max, .min]) }
      return Tensor(values, shape: shape)
    case .float32:
      let values: [Float] = (0..<count).map { _ in pick([0, 1, -1, 0.5, 3, -0.0, .nan, .infinity, 1e30, -1e30]) }
      return Tensor(values, shape: shape)
    case .bool:
      return Tensor((0..<count).map { _ in Bool.random(using: &random) }, shape: shape)
    default:
      var bytes = (0..<(type.byteCount(elements: count) ?? 0)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
      if Bool.random(using: &random) { bytes = bytes.map { _ in 0 } }
      return Tensor(type, shape: shape) { $0.copyBytes(from: bytes) }
    }
  }

  static let names: [(String, Character)] = [
    ("axis", "i"), ("axes", "I"), ("keepdims", "i"), ("perm", "I"), ("to", "t"), ("dtype", "t"), ("alpha", "f"),
    ("beta", "f"), ("mode", "s"), ("block_size", "i"), ("output_dtype", "t"), ("kernel_shape", "I"), ("strides", "I"),
    ("pads", "I"), ("dilations", "I"), ("group", "i"), ("num_outputs", "i"), ("split", "I"), ("starts", "I"),
    ("ends", "I"), ("batch_dims", "i"), ("exclusive", "i"), ("reverse", "i"), ("k", "i"), ("upper", "i"),
    ("reduction", "s"), ("direction", "s"), ("shape", "I"), ("value", "T"), ("value_float", "f"), ("value_ints", "I"),
    ("blocksize", "i"), ("hidden_size", "i"), ("epsilon", "f"), ("num_groups", "i"), ("size", "i"), ("bias", "f"),
    ("num_heads", "i"), ("q_num_heads", "i"), ("kv_num_heads", "i"), ("targets", "i"), ("coefficients", "F"),
    ("classlabels_ints", "I"), ("rho", "F"), ("batch_axis", "i"), ("time_axis", "i"), ("storage_order", "i"),
    ("ceil_mode", "i"), ("auto_pad", "s"), ("output_shape", "I"), ("output_padding", "I"), ("p", "i"),
    ("sample_size", "i"), ("allowzero", "i"), ("fmod", "i"), ("largest", "i"), ("equation", "s"), ("scales", "F"),
    ("onesided", "i"), ("inverse", "i"), ("seed", "f"), ("start", "i"), ("end", "i"), ("new_axis", "i"),
  ]

  mutating func attribute(_ name: String, _ kind: Character) -> Attribute {
    let integers = [0, 1, -1, 2, 3, -2, 4, 100, Int.max, Int.min]
    switch kind {
    case "i": return Attribute(name, int: pick(integers))
    case "I": return Attribute(name, ints: (0..<Int.random(in: 0...5, using: &random)).map { _ in pick(integers) })
    case "f": return Attribute(name, float: pick([0, 1, -1, 0.5, .nan, 1e30]))
    case "F":
      return Attribute(name, floats: (0..<Int.random(in: 0...5, using: &random)).map { _ in pick([0, 1, -1, .nan]) })
    case "t": return Attribute(name, int: Int.random(in: -1...30, using: &random))
    case "T": return Attribute(name, tensor: tensor())
    default:
      return Attribute(
        name,
        string: pick([
          "", "constant", "reflect", "edge", "wrap", "add", "mul", "LEFT", "RIGHT", "nearest", "linear", "cubic",
          "SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET", "bidirectional", "ij,jk->ik", "i...->...", "max", "bilinear",
        ]))
    }
  }

  mutating func run(_ type: any Operator.Type) {
    let inputs = (0..<Int.random(in: 0...5, using: &random)).map { _ in
      Int.random(in: 0...9, using: &random) == 0 ? nil : tensor()
    }
    // Some operators want equal inputs.
    var values = inputs
    if Bool.random(using: &random), let first = inputs.first ?? nil, inputs.count > 1 { values[1] = first }
    let attributes = Self.names.filter { _ in Int.random(in: 0...3, using: &random) == 0 }.map { attribute($0, $1) }
    let outputs = Int.random(in: 1...3, using: &random)
    let node = Node(
      type.opType, domain: type.domain, inputs: values.enumerated().map { $1 == nil ? nil : Value("x\($0)") },
      outputs: (0..<outputs).map { Value("y\($0)") }, attributes: attributes)
    let opset = type.domain.isEmpty ? Int.random(in: 1...28, using: &random) : 1
    let operatorNode = OperatorNode(node, opset: opset)
    let types = values.map { tensor -> InferredValue? in
      guard let tensor else { return nil }
      return InferredValue(
        .tensor(tensor.elementType, tensor.shape), constant: tensor.elementType == .int64 ? tensor : nil)
    }
    _ = try? type.infer(operatorNode, types)
    guard let kernel = try? type.prepare(operatorNode) else { return }
    _ = try? kernel.body(values.map { $0.map { .tensor($0) } }, EvaluationContext(outputCount: outputs))
  }
}
