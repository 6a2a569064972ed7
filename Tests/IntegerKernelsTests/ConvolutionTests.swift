import CKernels
import IntegerKernels
import TestSupport
import Testing

/// Random convolutions of every kind: the packed kernels of every instruction set against the definition, byte for byte.
@Suite struct ConvolutionTests {
  enum Kind: CaseIterable {
    case dense, grouped, depthwise, extremes, largeMultipliers, float32Rule, accumulators, zeroPoints
  }

  @Test(arguments: Kind.allCases)
  func packedKernelsEqualTheDefinition(_ kind: Kind) throws {
    var random = SeededGenerator(seed: UInt64(100 + Kind.allCases.firstIndex(of: kind)!))
    for trial in 0..<150 { try check(&random, kind, "\(kind), trial \(trial)") }
  }

  private func check(_ random: inout SeededGenerator, _ kind: Kind, _ label: String) throws {
    let groups = kind == .depthwise ? random.int(2...150) : kind == .grouped ? random.int(2...5) : 1
    let cin = kind == .depthwise ? 1 : random.int(1...(kind == .grouped ? 6 : 40))
    let cout = kind == .depthwise ? 1 : random.int(1...(kind == .grouped ? 6 : 70))
    let first = random.int(0...2)
    func extents(_ inside: ClosedRange<Int>, _ outside: Int, _ random: inout SeededGenerator) -> [Int] {
      (0..<3).map { $0 >= first ? random.int(inside) : outside }
    }
    let kernel = extents(1...(first == 0 ? 3 : 5), 1, &random)
    let stride = extents(1...2, 1, &random)
    let dilation = (0..<3).map { $0 >= first && random.oneIn(3) ? 2 : 1 }
    let geometry = ConvolutionGeometry(
      batch: random.int(1...2), input: extents(1...(first == 0 ? 6 : 13), 1, &random),
      begin: extents(0...2, 0, &random),
      end: extents(0...2, 0, &random))
    let depth = cin * kernel.reduce(1, *)
    let outputs = cout * groups
    let isExtreme = kind == .extremes
    let weights = (0..<depth * outputs).map { _ in
      isExtreme ? (random.oneIn(2) ? Int8(-128) : 127) : Int8.random(in: -128...127, using: &random)
    }
    let bias = (0..<outputs).map { _ in
      Int32(random.int(kind == .extremes ? -1_000_000_000...1_000_000_000 : -20000...20000))
    }
    var multipliers = (0..<outputs).map { _ in random.multiplier() }
    if kind == .dense { for i in multipliers.indices { multipliers[i].shift = Int32(random.int(42...50)) } }
    if kind == .largeMultipliers { for i in multipliers.indices { multipliers[i].shift = Int32(random.int(20...34)) } }
    let patterns = multipliers.map { m -> UInt32 in
      if m.shift > 62 { return 0 }
      // The same multiplier as a binary32: sign 0, exponent of its top bit, 23 bits below it.
      let exponent = UInt32(157 - m.shift)
      let fraction = UInt32(m.m0) >> 7 & 0x7F_FFFF
      return exponent << 23 | fraction
    }
    var description = ConvolutionDescription(
      channels: cin * groups, outputs: outputs, inputZero: Int32(random.int(0...255)), weights: weights)
    description.groups = groups
    description.kernel = kernel
    description.stride = stride
    description.dilation = dilation
    description.bias = random.oneIn(4) ? nil : bias
    if kind == .zeroPoints || random.oneIn(6) {
      description.weightZeros = (0..<outputs).map { _ in Int32(random.int(-128...127)) }
    }
    if kind != .accumulators {
      description.requantization = .init(
        output: random.output(), rounding: kind == .float32Rule ? .binary32 : .fixed, multipliers: multipliers,
        patterns: patterns)
    }
    let count = geometry.batch * geometry.input.reduce(1, *) * cin * groups
    var x = random.bytes(count + 64)
    if isExtreme { x = x.map { $0 < 128 ? 0 : 255 } }
    let packed = try PackedConvolution(description)
    let size = try packed.outputExtents(geometry).reduce(geometry.batch * outputs, *) * (packed.isWide ? 4 : 1)
    let guardBytes = 64
    var expected = [UInt8](repeating: 0xAA, count: size + guardBytes)
    try reference(description, geometry, x, &expected)
    for isa in instructionSets {
      var y = [UInt8](repeating: 0xAA, count: size + guardBytes)
      try run(description, geometry, x, &y, isa)
      #expect(
        y == expected,
        "\(label), instruction set \(isa), \(description.channels)→\(outputs) in \(groups), kernel \(kernel)")
    }
    let (least, greatest) = try description.bounds()
    #expect(zip(least, greatest).allSatisfy { $0 <= $1 })
  }

  private func reference(
    _ d: ConvolutionDescription, _ geometry: ConvolutionGeometry, _ x: [UInt8], _ y: inout [UInt8]
  ) throws {
    try withSpec(d) { spec in
      var g = geometry.c
      ck_int_conv_reference(spec, &g, x, &y)
    }
  }

  private func run(
    _ d: ConvolutionDescription, _ geometry: ConvolutionGeometry, _ x: [UInt8], _ y: inout [UInt8], _ isa: ck_isa
  ) throws {
    try withSpec(d) { spec in
      let conv = ck_int_conv_create(spec)
      defer { ck_int_conv_destroy(conv) }
      var g = geometry.c
      var workspace = [UInt64](repeating: 0, count: Int(ck_int_conv_workspace(conv, &g)) / 8 + 1)
      let pool = ck_pool_create(3)
      defer { ck_pool_destroy(pool) }
      #expect(ck_int_conv_run(conv, &g, x, &y, &workspace, pool, isa) == 0)
    }
  }

  @Test func boundsAreReachedAndNeverPassed() throws {
    var d = ConvolutionDescription(channels: 3, outputs: 1, inputZero: 100, weights: [-128, 5, 127])
    d.bias = [-7]
    let (least, greatest) = try d.bounds()
    // Inputs less the zero point lie in -100 ... 155.
    let low: Int64 = -19840 - 500 - 12700 - 7
    let high: Int64 = 12800 + 775 + 19685 - 7
    #expect(least == [low])
    #expect(greatest == [high])
    let packed = try PackedConvolution(d)
    var y = [Int32](repeating: 0, count: 2)
    try y.withUnsafeMutableBytes { y in
      let x: [UInt8] = [255, 0, 0, 0, 255, 255] + [UInt8](repeating: 0, count: 64)
      try packed.multiply(rows: 2, depth: 3, x, into: y.baseAddress!, pool: nil)
    }
    #expect(y == [Int32(least[0]), Int32(greatest[0])])
  }

  @Test func nothingSaturatesInside() throws {
    // vpmaddubsw, the way of AVX2 without VNNI, gives 65534 here.
    let d = ConvolutionDescription(channels: 4, outputs: 1, inputZero: 0, weights: [127, 127, 127, 127])
    for isa in instructionSets {
      var y = [UInt8](repeating: 0, count: 4)
      try run(
        d, ConvolutionGeometry(batch: 1, input: [1, 1, 1]), [255, 255, 255, 255] + [UInt8](repeating: 0, count: 64), &y,
        isa)
      #expect(y.withUnsafeBytes { $0.load(as: Int32.self) } == 129_540)
    }
  }

  @Test func sizesThatMakeNoSenseAreRefused() {
    #expect(throws: IntegerKernelError.self) {
      try PackedConvolution(ConvolutionDescription(channels: 3, outputs: 2, inputZero: 0, weights: [1]))
    }
    var d = ConvolutionDescription(channels: 3, outputs: 2, inputZero: 0, weights: [1, 2, 3])
    d.groups = 2
    #expect(throws: IntegerKernelError.self) { try PackedConvolution(d) }
    #expect(throws: IntegerKernelError.self) {
      let packed = try PackedConvolution(ConvolutionDescription(channels: 1, outputs: 1, inputZero: 0, weights: [1]))
      _ = try packed.workspace(ConvolutionGeometry(batch: 1, input: [.max, .max, 2], begin: [1, 1, 1]))
    }
  }

  @Test func productsOfTwoActivationsAreExact() throws {
    var random = SeededGenerator(seed: 7)
    for trial in 0..<300 {
      let (m, n, k) = (random.int(1...30), random.int(1...80), random.int(1...70))
      let a = random.bytes(m * k + 64)
      let b = random.bytes(k * n + 64)
      let aZero = random.int(0...255)
      let bZero = random.oneIn(2) ? 128 : random.int(0...255)
      let isTransposed = random.oneIn(2)
      var expected = [Int32](repeating: 0, count: m * n)
      for i in 0..<m {
        for j in 0..<n {
          var sum = 0
          for l in 0..<k {
            let right = isTransposed ? j * k + l : l * n + j
            sum += (Int(a[i * k + l]) - aZero) * (Int(b[right]) - bZero)
          }
          expected[i * n + j] = Int32(sum)
        }
      }
      for isa in instructionSets {
        var y = [Int32](repeating: 0, count: m * n)
        #expect(
          ck_int_matmul_dynamic(
            Int64(m), Int64(n), Int64(k), a, Int32(aZero), b, Int32(bZero), isTransposed ? 1 : 0, &y, nil, isa) == 0)
        #expect(y == expected, "trial \(trial), instruction set \(isa)")
      }
    }
  }
}

/// The C description of `d`, for kernels that the wrappers do not reach: the definition, and a chosen instruction set.
func withSpec(_ d: ConvolutionDescription, _ body: (UnsafePointer<ck_int_conv_spec>) throws -> Void) throws {
  var spec = ck_int_conv_spec()
  func triple(_ v: [Int]) -> (Int64, Int64, Int64) { (Int64(v[0]), Int64(v[1]), Int64(v[2])) }
  spec.shape = ck_int_conv_shape(
    channels: Int64(d.channels), outputs: Int64(d.outputs), groups: Int64(d.groups), kernel: triple(d.kernel),
    stride: triple(d.stride), dilation: triple(d.dilation))
  spec.x_zero = d.inputZero
  spec.type = d.requantization == nil ? CK_INT_S32 : CK_INT_U8
  if let r = d.requantization {
    spec.output = r.output
    spec.rounding = r.rounding == .fixed ? CK_INT_ROUND_FIXED : CK_INT_ROUND_FLOAT32
  }
  try d.weights.withUnsafeBufferPointer { weights in
    try (d.bias ?? []).withUnsafeBufferPointer { bias in
      try (d.weightZeros ?? []).withUnsafeBufferPointer { zeros in
        try (d.requantization?.multipliers ?? []).withUnsafeBufferPointer { multipliers in
          try (d.requantization?.patterns ?? []).withUnsafeBufferPointer { patterns in
            spec.weights = weights.baseAddress
            spec.bias = d.bias == nil ? nil : bias.baseAddress
            spec.w_zero = d.weightZeros == nil ? nil : zeros.baseAddress
            spec.multipliers = multipliers.baseAddress
            spec.float_multipliers = patterns.baseAddress
            try body(&spec)
          }
        }
      }
    }
  }
}
