import ONNXGraph
import ONNXTensor

/// What LSTM, GRU and RNN share: attributes, checked shapes, and the order of steps of each direction.
///
/// Inputs with `layout = 1` (batch first) are brought to [sequence][batch][...] and the outputs back.
struct RecurrentAttributes {
  enum Direction: String { case forward, reverse, bidirectional }

  let gates: Int
  let direction: Direction
  let hiddenSize: Int?
  let clip: Float?
  let isBatchFirst: Bool
  /// The activations of each direction.
  let activations: [[Activation]]

  var directions: Int { direction == .bidirectional ? 2 : 1 }

  init(_ node: OperatorNode, gates: Int, defaults: [String]) throws {
    self.gates = gates
    let name = try node.string("direction", default: "forward")
    guard let direction = Direction(rawValue: name.lowercased()) else {
      throw OperatorError("attribute 'direction' is '\(name)'")
    }
    self.direction = direction
    hiddenSize = try node.int("hidden_size")
    clip = try node.float("clip")
    if let clip, !(clip > 0) { throw OperatorError("attribute 'clip' is \(clip)") }
    isBatchFirst = try node.bool("layout", default: false)
    let count = direction == .bidirectional ? 2 : 1
    var names = try node.strings("activations")?.map { String(decoding: $0, as: UTF8.self) } ?? []
    if names.isEmpty { names = Array(repeating: defaults, count: count).flatMap { $0 } }
    guard names.count == defaults.count * count else {
      throw OperatorError("\(names.count) activations, expected \(defaults.count * count)")
    }
    // Parameters are consumed in order by the activations that have any.
    var alphas = (try node.floats("activation_alpha") ?? [])[...]
    var betas = (try node.floats("activation_beta") ?? [])[...]
    let all = try names.map { name in
      let key = name.lowercased()
      let hasAlpha = ["affine", "leakyrelu", "thresholdedrelu", "scaledtanh", "hardsigmoid", "elu"].contains(key)
      let hasBeta = ["affine", "scaledtanh", "hardsigmoid"].contains(key)
      return try Activation(
        name: name, alpha: hasAlpha ? alphas.popFirst() : nil, beta: hasBeta ? betas.popFirst() : nil)
    }
    activations = (0..<count).map { Array(all[($0 * defaults.count)..<(($0 + 1) * defaults.count)]) }
  }

  /// The output types, `states` of them besides Y.
  func infer(_ inputs: [InferredValue?], states: Int) -> [InferredValue?] {
    let type = inputs.elementType(0)
    guard let x = inputs.extents(0), x.count == 3 else {
      return Array(repeating: InferredValue(type, extents: nil), count: states + 1)
    }
    let hidden = hiddenSize.map { Extent($0) } ?? inputs.extents(2)?[safe: 2] ?? .unknown
    let (sequence, batch) = isBatchFirst ? (x[1], x[0]) : (x[0], x[1])
    let count = Extent(directions)
    let y = isBatchFirst ? [batch, sequence, count, hidden] : [sequence, count, batch, hidden]
    let state = isBatchFirst ? [batch, count, hidden] : [count, batch, hidden]
    return [InferredValue(type, extents: y)] + Array(repeating: InferredValue(type, extents: state), count: states)
  }
}

/// The checked shapes of one run.
struct RecurrentShape {
  let attributes: RecurrentAttributes
  let sequence: Int
  let batch: Int
  let input: Int
  let hidden: Int
  /// Steps of each sample.
  let lengths: [Int]

  init(_ attributes: RecurrentAttributes, x: Tensor, w: Tensor, r: Tensor, lengths: Tensor?) throws {
    self.attributes = attributes
    try x.require(rank: 3, "X")
    (sequence, batch) = attributes.isBatchFirst ? (x.shape[1], x.shape[0]) : (x.shape[0], x.shape[1])
    input = x.shape[2]
    try r.require(rank: 3, "R")
    hidden = r.shape[2]
    if let declared = attributes.hiddenSize, declared != hidden {
      throw OperatorError("hidden_size \(declared) does not fit R of shape \(r.shape)")
    }
    let rows = try CheckedSize.multiply(attributes.gates, hidden)
    try w.require(shape: [attributes.directions, rows, input], "W")
    try r.require(shape: [attributes.directions, rows, hidden], "R")
    let steps = sequence
    if let lengths {
      guard let values = lengths.integers, values.count == batch, values.allSatisfy({ $0 >= 0 && $0 <= steps }) else {
        throw OperatorError("sequence_lens does not give each of \(batch) samples a length of at most \(sequence)")
      }
      self.lengths = values
    } else {
      self.lengths = Array(repeating: sequence, count: batch)
    }
    try CheckedSize.check([sequence, attributes.directions, batch, hidden], of: .float64)
    try CheckedSize.check([sequence, batch, rows], of: .float64)
  }

  /// X as [sequence][batch][input].
  func steps<T: ComputeReal>(_ x: Tensor, _ type: T.Type) throws -> [T] {
    let values = try x.reals(T.self)
    return attributes.isBatchFirst ? Self.swapped(values, batch, sequence, input) : values
  }

  /// An initial state as [direction][batch][hidden], zeros when absent.
  func state<T: ComputeReal>(_ tensor: Tensor?, _ name: String, _ type: T.Type) throws -> [T] {
    let count = attributes.directions
    guard let tensor else { return Array(repeating: 0, count: count * batch * hidden) }
    try tensor.require(shape: attributes.isBatchFirst ? [batch, count, hidden] : [count, batch, hidden], name)
    let values = try tensor.reals(T.self)
    return attributes.isBatchFirst ? Self.swapped(values, batch, count, hidden) : values
  }

  /// A parameter of `width` numbers for each direction, zeros when absent.
  func parameter<T: ComputeReal>(_ tensor: Tensor?, _ name: String, width: Int, _ type: T.Type) throws -> [T] {
    guard let tensor else { return Array(repeating: 0, count: attributes.directions * width) }
    try tensor.require(shape: [attributes.directions, width], name)
    return try tensor.reals(T.self)
  }

  /// Y from [sequence][direction][batch][hidden].
  func output<T: ComputeReal>(_ y: [T], as type: ElementType) throws -> RuntimeValue {
    let count = attributes.directions
    guard attributes.isBatchFirst else {
      return .tensor(try Tensor(reals: y, as: type, shape: [sequence, count, batch, hidden]))
    }
    let swapped = Self.swapped(y, sequence * count, batch, hidden)
    return .tensor(try Tensor(reals: swapped, as: type, shape: [batch, sequence, count, hidden]))
  }

  /// A final state from [direction][batch][hidden].
  func state<T: ComputeReal>(_ values: [T], as type: ElementType) throws -> RuntimeValue {
    let count = attributes.directions
    guard attributes.isBatchFirst else {
      return .tensor(try Tensor(reals: values, as: type, shape: [count, batch, hidden]))
    }
    let swapped = Self.swapped(values, count, batch, hidden)
    return .tensor(try Tensor(reals: swapped, as: type, shape: [batch, count, hidden]))
  }

  /// [a][b][c] to [b][a][c].
  private static func swapped<T>(_ values: [T], _ a: Int, _ b: Int, _ c: Int) -> [T] {
    var result: [T] = []
    result.reserveCapacity(values.count)
    for j in 0..<b { for i in 0..<a { result += values[((i * b + j) * c)..<((i * b + j + 1) * c)] } }
    return result
  }

  func isReverse(_ direction: Int) -> Bool { attributes.direction == .reverse || direction == 1 }

  /// The time of `sample` at `step`, nil when its sequence is over. The reverse direction starts at the sample's end.
  func time(_ step: Int, sample: Int, reverse: Bool) -> Int? {
    guard step < lengths[sample] else { return nil }
    return reverse ? lengths[sample] - 1 - step : step
  }

  func clipped<T: ComputeReal>(_ x: T) -> T {
    guard let clip = attributes.clip else { return x }
    return x.isNaN ? x : min(max(x, -T(clip)), T(clip))
  }
}
