import FloatKernels
import ONNXGraph
import ONNXTensor

/// Integer matrix product scaled to float32: (A - a_zero) (B - b_zero) a_scale b_scale + bias.
enum MatMulIntegerToFloat: MicrosoftOperator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    .tensors { inputs, context in
      try IntegerProduct.run(
        a: try inputs[0], aScale: try inputs[2], aZero: try inputs.optional(4), b: try inputs[1],
        bScale: try inputs[3], bZero: try inputs.optional(5), bias: try inputs.optional(6))
    }
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    [InferredValue(.float32, extents: MatMul.inferExtents(inputs.extents(0), inputs.extents(1)))]
  }

  static func macs(_ node: OperatorNode, inputs: [[Int]?], outputs: [[Int]?]) -> Int {
    MatMul.macs(node, inputs: inputs, outputs: outputs)
  }
}

/// A is quantized to uint8 over its own range first, as by `DynamicQuantizeLinear`.
enum DynamicQuantizeMatMul: MicrosoftOperator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    .tensors { inputs, context in
      let a = try inputs[0]
      try a.require(.float32, "input A")
      let values = a.array(Float.self)
      let low = values.reduce(0) { min($0, $1) }
      let high = values.reduce(0) { max($0, $1) }
      let range = high - low
      let scale = range == 0 ? 1 : range / 255
      guard scale.isFinite, scale > 0 else { throw OperatorError("input A is not finite") }
      let zero = min(max((-low / scale).rounded(.toNearestOrEven), 0), 255)
      let codes = values.map { value -> UInt8 in
        let code = (value / scale).rounded(.toNearestOrEven) + zero
        return code.isNaN ? UInt8(zero) : UInt8(min(max(code, 0), 255))
      }
      return try IntegerProduct.run(
        a: Tensor(codes, shape: a.shape), aScale: Tensor(scalar: scale), aZero: Tensor(scalar: UInt8(zero)),
        b: try inputs[1], bScale: try inputs[2], bZero: try inputs.optional(3), bias: try inputs.optional(4))
    }
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    [InferredValue(.float32, extents: MatMul.inferExtents(inputs.extents(0), inputs.extents(1)))]
  }

  static func macs(_ node: OperatorNode, inputs: [[Int]?], outputs: [[Int]?]) -> Int {
    MatMul.macs(node, inputs: inputs, outputs: outputs)
  }
}

private enum IntegerProduct {
  static func run(
    a: Tensor, aScale: Tensor, aZero: Tensor?, b: Tensor, bScale: Tensor, bZero: Tensor?, bias: Tensor?
  ) throws -> Tensor {
    let shape = try MatrixProductShape(a: a.shape, b: b.shape)
    try CheckedSize.check(shape.output, of: .float32)
    let sums = shape.multiply(
      try MatMulInteger.centred(a, aZero, axis: -2, what: "input A"),
      try MatMulInteger.centred(b, bZero, axis: -1, what: "input B"))
    let left = try aScale.scalarReal("the scale of A", as: Float.self)
    let right = try bScale.reals(Float.self)
    guard right.count == 1 || right.count == shape.n else {
      throw OperatorError("\(right.count) scales for \(shape.n) columns")
    }
    try bias?.require(shape: [shape.n], "the bias")
    let added = try bias?.reals(Float.self)
    let y = sums.enumerated().map { index, sum -> Float in
      let column = index % shape.n
      return Float(sum) * (left * right[right.count == 1 ? 0 : column]) + (added?[column] ?? 0)
    }
    return Tensor(y, shape: shape.output)
  }
}

/// A matrix product whose right-hand side is stored in blocks of 2, 4 or 8 bits, transposed: [N][K].
enum MatMulNBits: MicrosoftOperator {
  struct Attributes {
    let k: Int
    let n: Int
    let bits: Int
    let block: Int
    var blocks: Int { (k + block - 1) / block }

    init(_ node: OperatorNode) throws {
      guard let k = try node.int("K"), let n = try node.int("N"), let block = try node.int("block_size"), k >= 0,
        n >= 0,
        k < 1 << 40, n < 1 << 40, block >= 8, block <= 1 << 20
      else { throw OperatorError("attributes 'K', 'N' and 'block_size' make no sense") }
      bits = try node.int("bits", default: 4)
      guard bits == 2 || bits == 4 || bits == 8, block * bits % 8 == 0 else {
        throw OperatorError("attribute 'bits' is \(bits)")
      }
      (self.k, self.n, self.block) = (k, n, block)
      _ = try CheckedSize.product([k &+ block, n, 8])
    }
  }

  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let attributes = try Attributes(node)
    let isConstant =
      (1...2).allSatisfy { node.constant($0) != nil }
      && (3...4).allSatisfy { !node.hasInput($0) || node.constant($0) != nil }
    let cache = isConstant ? PackedWeightCache() : nil
    return .tensors { inputs, context in
      let a = try inputs[0]
      guard let depth = a.shape.last, depth == attributes.k else {
        throw OperatorError("input A of shape \(a.shape) does not have \(attributes.k) columns")
      }
      _ = try a.elementType.computeType()
      let (n, k) = (attributes.n, attributes.k)
      let shape = a.shape.dropLast() + [n]
      try CheckedSize.check(Array(shape), of: .float32)
      let backend = context.backend
      func pack() throws -> PackedWeights {
        try weights(attributes, inputs).withUnsafeBufferPointer {
          try backend.packRight(k: k, n: n, MatrixView($0, rowStride: 1, columnStride: max(k, 1)))
        }
      }
      let packed = try cache?.weights(for: [k, n], pack) ?? pack()
      let bias = try inputs.optional(5)
      try bias?.require(shape: [n], "the bias")
      let added = try bias?.reals(Float.self)
      let values = try a.reals(Float.self)
      var y = [Float](repeating: 0, count: extent(shape))
      try values.withUnsafeBufferPointer { values in
        try y.withUnsafeMutableBufferPointer {
          try backend.multiply(
            m: extent(a.shape.dropLast()), n: n, k: k, MatrixView(values, rowStride: k), packed, into: $0)
        }
      }
      if let added { for index in y.indices { y[index] += added[index % n] } }
      return try Tensor(reals: y, as: a.elementType, shape: Array(shape))
    }
  }

  /// The right-hand side as reals, [N][K].
  private static func weights(_ attributes: Attributes, _ inputs: TensorInputs) throws -> [Float] {
    let (n, k, bits, blocks) = (attributes.n, attributes.k, attributes.bits, attributes.blocks)
    let blob = attributes.block * bits / 8
    let b = try inputs[1]
    try b.require(.uint8, "input B")
    let codes = b.array(UInt8.self)
    let scales = try inputs[2].reals(Float.self)
    guard codes.count == n * blocks * blob, scales.count == n * blocks else {
      throw OperatorError(
        "input B of shape \(b.shape) and \(scales.count) scales do not fit \(n) rows of \(blocks) blocks")
    }
    func field(_ bytes: [UInt8], _ base: Int, _ index: Int) -> Float {
      let perByte = 8 / bits
      return Float(bytes[base + index / perByte] >> UInt8(index % perByte * bits) & UInt8((1 << bits) - 1))
    }
    let half = Float(1 << (bits - 1))
    var zeros = [Float](repeating: half, count: n * blocks)
    if let tensor = try inputs.optional(3) {
      if tensor.elementType == .uint8 {
        let row = (blocks * bits + 7) / 8
        let bytes = tensor.array(UInt8.self)
        guard bytes.count == n * row else { throw OperatorError("\(bytes.count) bytes of zero points") }
        for index in zeros.indices { zeros[index] = field(bytes, index / blocks * row, index % blocks) }
      } else {
        zeros = try tensor.reals(Float.self)
        guard zeros.count == n * blocks else { throw OperatorError("\(zeros.count) zero points") }
      }
    }
    let groups = try inputs.optional(4)?.integers
    if let groups, groups.count < k || groups.contains(where: { $0 < 0 || $0 >= blocks }) {
      throw OperatorError("g_idx does not name one of \(blocks) blocks for each of \(k) rows")
    }
    var result = [Float](repeating: 0, count: n * k)
    for row in 0..<n {
      for column in 0..<k {
        let group = row * blocks + (groups?[column] ?? column / attributes.block)
        let base = (row * blocks + column / attributes.block) * blob
        result[row * k + column] = (field(codes, base, column % attributes.block) - zeros[group]) * scales[group]
      }
    }
    return result
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    let n = Extent(try Attributes(node).n)
    return [InferredValue(inputs.elementType(0), extents: inputs.extents(0).map { $0.dropLast() + [n] })]
  }

  static func macs(_ node: OperatorNode, inputs: [[Int]?], outputs: [[Int]?]) -> Int {
    guard let y = outputs.first ?? nil, let k = node.node.int("K") else { return 0 }
    return extent(y) &* k
  }
}
