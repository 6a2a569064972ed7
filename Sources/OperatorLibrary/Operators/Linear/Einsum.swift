import FloatKernels
import ONNXGraph
import ONNXTensor

/// The Einstein summation of numpy's `einsum`: any number of operands, ellipsis, repeated labels, implicit output.
///
/// Opsets 12, 28. Operands are contracted in pairs from left to right.
enum Einsum: Operator {
  /// An equation with its ellipsis kept as the label "." until the shapes are known.
  struct Equation {
    let terms: [[Character]]
    let output: [Character]

    init(_ text: String) throws {
      let stripped = text.filter { $0 != " " }
      let sides = stripped.split(separator: ">", maxSplits: 1, omittingEmptySubsequences: false)
      var left = String(sides[0])
      let right = sides.count == 2 ? String(sides[1]) : nil
      if right != nil {
        guard left.last == "-" else { throw OperatorError("equation '\(text)' is malformed") }
        left.removeLast()
      }
      terms = try left.split(separator: ",", omittingEmptySubsequences: false).map { try Self.parse($0, of: text) }
      if let right {
        output = try Self.parse(Substring(right), of: text)
        guard Set(output).count == output.count else {
          throw OperatorError("equation '\(text)' repeats an output label")
        }
      } else {
        var counts: [Character: Int] = [:]
        for label in terms.joined() where label != "." { counts[label, default: 0] += 1 }
        let ellipsis: [Character] = terms.joined().contains(".") ? ["."] : []
        output = ellipsis + counts.filter { $0.value == 1 }.map(\.key).sorted()
      }
      let known = Set(terms.joined())
      if let label = output.first(where: { !known.contains($0) && $0 != "." }) {
        throw OperatorError("equation '\(text)' has output label '\(label)', which no input has")
      }
    }

    private static func parse(_ term: Substring, of text: String) throws -> [Character] {
      var labels: [Character] = []
      var rest = term[...]
      while let first = rest.first {
        if rest.hasPrefix("...") {
          guard !labels.contains(".") else { throw OperatorError("equation '\(text)' has two ellipses in one term") }
          labels.append(".")
          rest.removeFirst(3)
        } else {
          guard first.isASCII, first.isLetter else { throw OperatorError("equation '\(text)' has '\(first)' in it") }
          labels.append(first)
          rest.removeFirst()
        }
      }
      return labels
    }

    /// The terms and output with the ellipsis spelled out: label "\u{0}"… for its axes, the last being aligned.
    func resolved(ranks: [Int]) throws -> (terms: [[Character]], output: [Character]) {
      guard ranks.count == terms.count else {
        throw OperatorError("the equation has \(terms.count) terms for \(ranks.count) inputs")
      }
      var widest = 0
      for (term, rank) in zip(terms, ranks) {
        let labels = term.count - (term.contains(".") ? 1 : 0)
        guard term.contains(".") ? rank >= labels : rank == labels else {
          throw OperatorError("term '\(String(term))' does not fit an input of rank \(rank)")
        }
        if term.contains(".") { widest = max(widest, rank - labels) }
      }
      guard widest <= 64 else { throw OperatorError("an ellipsis stands for \(widest) axes") }
      func ellipsis(_ count: Int) -> [Character] {
        (0..<count).map { Character(Unicode.Scalar(UInt8(128 + 63 - (count - 1 - $0)))) }
      }
      func expand(_ term: [Character], _ count: Int) -> [Character] {
        term.flatMap { $0 == "." ? ellipsis(count) : [$0] }
      }
      return (
        zip(terms, ranks).map { expand($0, $1 - ($0.count - 1)) }, expand(output, widest)
      )
    }
  }

  static func prepare(_ node: OperatorNode) throws -> Kernel {
    guard let text = try node.string("equation") else { throw OperatorError("attribute 'equation' is missing") }
    let equation = try Equation(text)
    return .tensors { inputs, context in
      let tensors = try (0..<inputs.count).map { try inputs[$0] }
      guard let first = tensors.first else { throw OperatorError("there is no input") }
      for (index, tensor) in tensors.enumerated() { try tensor.require(first.elementType, "input \(index)") }
      switch first.elementType {
      case .int32: return try integers(Int32.self, equation, tensors)
      case .uint32: return try integers(UInt32.self, equation, tensors)
      case .int64: return try integers(Int64.self, equation, tensors)
      case .uint64: return try integers(UInt64.self, equation, tensors)
      case .int8, .int16, .uint8, .uint16: return try narrow(equation, tensors)
      default: return try reals(try first.elementType.computeType(), equation, tensors)
      }
    }
  }

  @_specialize(where T == Float)
  private static func reals<T: ComputeReal>(_ type: T.Type, _ equation: Equation, _ inputs: [Tensor]) throws -> Tensor {
    let (values, shape) = try evaluate(equation, inputs.map(\.shape), inputs.map { try $0.reals(T.self) })
    return try Tensor(reals: values, as: inputs[0].elementType, shape: shape)
  }

  private static func integers<T: ComputeElement>(
    _ type: T.Type, _ equation: Equation, _ inputs: [Tensor]
  ) throws -> Tensor {
    let (values, shape) = try evaluate(equation, inputs.map(\.shape), inputs.map { $0.array(T.self) })
    return Tensor(values, shape: shape)
  }

  private static func narrow(_ equation: Equation, _ inputs: [Tensor]) throws -> Tensor {
    let (values, shape) = try evaluate(
      equation, inputs.map(\.shape), inputs.map { ($0.integers ?? []).map { Int64($0) } })
    switch inputs[0].elementType {
    case .int8: return Tensor(values.map { Int8(truncatingIfNeeded: $0) }, shape: shape)
    case .uint8: return Tensor(values.map { UInt8(truncatingIfNeeded: $0) }, shape: shape)
    case .int16: return Tensor(values.map { Int16(truncatingIfNeeded: $0) }, shape: shape)
    default: return Tensor(values.map { UInt16(truncatingIfNeeded: $0) }, shape: shape)
    }
  }

  private struct Operand<T> {
    var labels: [Character]
    var shape: [Int]
    var values: [T]
  }

  private static func evaluate<T: ComputeElement>(
    _ equation: Equation, _ shapes: [[Int]], _ values: [[T]]
  ) throws -> ([T], [Int]) {
    let (terms, output) = try equation.resolved(ranks: shapes.map(\.count))
    var sizes: [Character: Int] = [:]
    for (term, shape) in zip(terms, shapes) {
      for (label, size) in zip(term, shape) {
        let known = sizes[label] ?? 1
        guard known == size || known == 1 || size == 1 else {
          throw OperatorError("label '\(label)' stands for extents \(known) and \(size)")
        }
        sizes[label] = known == 1 ? size : known
      }
    }
    var operands = zip(zip(terms, shapes), values).map { Operand(labels: $0.0, shape: $0.1, values: $1) }
    while operands.count > 2 {
      let right = operands.remove(at: 1)
      let left = operands[0]
      let later = Set(operands.dropFirst().flatMap(\.labels)).union(output)
      var seen = Set<Character>()
      let kept = (left.labels + right.labels).filter { later.contains($0) && seen.insert($0).inserted }
      operands[0] = try contract([left, right], to: kept, sizes)
    }
    let result = try contract(operands, to: output, sizes)
    return (result.values, result.shape)
  }

  /// The sum over all labels that `output` leaves out, by definition.
  private static func contract<T: ComputeElement>(
    _ operands: [Operand<T>], to output: [Character], _ sizes: [Character: Int]
  ) throws -> Operand<T> {
    var summed: [Character] = []
    for label in operands.flatMap(\.labels) where !output.contains(label) && !summed.contains(label) {
      summed.append(label)
    }
    let outShape = output.map { sizes[$0] ?? 1 }
    let sumShape = summed.map { sizes[$0] ?? 1 }
    try CheckedSize.check(outShape, of: T.elementType)
    _ = try CheckedSize.product(sumShape)
    func strides(_ operand: Operand<T>, _ labels: [Character]) -> [Int] {
      let own = rowMajorStrides(operand.shape)
      return labels.map { label in
        operand.labels.indices.reduce(0) {
          operand.labels[$1] == label && operand.shape[$1] != 1 ? $0 + own[$1] : $0
        }
      }
    }
    let outStrides = operands.map { strides($0, output) }
    let sumStrides = operands.map { strides($0, summed) }
    var values = [T](repeating: .zero, count: extent(outShape))
    let sumCount = extent(sumShape)
    guard !values.isEmpty, sumCount > 0 else { return Operand(labels: output, shape: outShape, values: values) }
    var outIndex = [Int](repeating: 0, count: output.count)
    let left = operands[0].values
    let right = operands.count > 1 ? operands[1].values : []
    let inner = summed.count - 1
    for number in values.indices {
      func start(_ operand: Int) -> Int { zip(outIndex, outStrides[operand]).reduce(0) { $0 + $1.0 * $1.1 } }
      let base = (start(0), operands.count > 1 ? start(1) : 0)
      var sum = T.zero
      if summed.isEmpty {
        if operands.count > 1 { T.accumulate(&sum, left[base.0], right[base.1]) } else { sum = left[base.0] }
      } else {
        var index = [Int](repeating: 0, count: inner)
        let outer = Array(sumShape.dropLast())
        repeat {
          var (a, b) = base
          for axis in 0..<inner {
            a += index[axis] * sumStrides[0][axis]
            if operands.count > 1 { b += index[axis] * sumStrides[1][axis] }
          }
          for _ in 0..<sumShape[inner] {
            if operands.count > 1 {
              T.accumulate(&sum, left[a], right[b])
              b += sumStrides[1][inner]
            } else {
              sum = add(sum, left[a])
            }
            a += sumStrides[0][inner]
          }
        } while advance(&index, in: outer)
      }
      values[number] = sum
      advance(&outIndex, in: outShape)
    }
    return Operand(labels: output, shape: outShape, values: values)
  }

  private static func add<T: ComputeElement>(_ left: T, _ right: T) -> T {
    var sum = left
    T.accumulate(&sum, right, T.one)
    return sum
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    guard let text = try node.string("equation") else { throw OperatorError("attribute 'equation' is missing") }
    let equation = try Equation(text)
    let shapes = inputs.indices.compactMap { inputs.extents($0) }
    guard shapes.count == inputs.count, !inputs.isEmpty else {
      return [InferredValue(inputs.elementType(0), extents: nil)]
    }
    let (terms, output) = try equation.resolved(ranks: shapes.map(\.count))
    var sizes: [Character: Extent] = [:]
    for (term, shape) in zip(terms, shapes) {
      for (label, extent) in zip(term, shape) {
        if let known = sizes[label], known.known != 1 {
          sizes[label] = known.merged(with: extent)
        } else {
          sizes[label] = extent
        }
      }
    }
    return [InferredValue(inputs.elementType(0), extents: output.map { sizes[$0] ?? .unknown })]
  }

  static var quantization: QuantizationTraits { QuantizationTraits(.weighted, activationInputs: .all, weightInput: 1) }
}
