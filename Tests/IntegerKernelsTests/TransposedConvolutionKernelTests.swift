import CKernels
import IntegerKernels
import TestSupport
import Testing

/// The phases of a transposed convolution against its definition, accumulator by accumulator.
@Suite struct TransposedConvolutionKernelTests {
  @Test(arguments: 0..<60) func phasesAreTheDefinition(_ seed: Int) throws {
    var random = SeededGenerator(seed: UInt64(seed))
    let groups = [1, 1, 2, 5][random.int(0...3)]
    let channels = groups * random.int(1...9)
    let outputs = groups * random.int(1...9)
    let kernel = (0..<3).map { $0 == 0 && seed % 3 != 0 ? 1 : random.int(1...5) }
    // Extremes of every kind in some cases.
    let isExtreme = seed % 4 == 0
    let count = outputs * channels / groups * kernel.reduce(1, *)
    let weights = (0..<count).map { _ in isExtreme ? Int8.min : Int8.random(in: .min ... .max, using: &random) }
    var description = ConvolutionDescription(
      channels: channels, outputs: outputs, inputZero: isExtreme ? 0 : Int32(random.int(0...255)), weights: weights)
    description.groups = groups
    description.kernel = kernel
    description.stride = (0..<3).map { _ in random.int(1...4) }
    description.dilation = (0..<3).map { _ in random.int(1...3) }
    if seed % 2 == 0 { description.weightZeros = (0..<outputs).map { _ in Int32(random.int(-128...127)) } }
    if seed % 3 == 0 { description.bias = (0..<outputs).map { _ in Int32(random.int(-90000...90000)) } }
    let input = (0..<3).map { $0 == 0 && seed % 3 != 0 ? 1 : random.int(1...5) }
    var natural: [Int] = []
    for d in 0..<3 {
      let reach: Int = description.dilation[d] * (kernel[d] - 1)
      natural.append(description.stride[d] * (input[d] - 1) + reach + 1)
    }
    let begin = natural.map { random.int(0...min(4, $0 - 1)) }
    // Some outputs end before the last tap, some after it.
    let output = (0..<3).map { max(1, natural[$0] - begin[$0] + random.int(-2...4)) }
    let batch = random.int(1...2)
    var x = (0..<batch * channels * input.reduce(1, *)).map { _ in
      isExtreme ? UInt8.max : UInt8.random(in: 0...255, using: &random)
    }
    let used = x.count
    x += [UInt8](repeating: 255, count: Int(CK_INT_SLACK))
    var expected = [Int32](repeating: 0, count: batch * outputs * output.reduce(1, *))
    var got = expected
    func triple(_ v: [Int]) -> (Int64, Int64, Int64) { (Int64(v[0]), Int64(v[1]), Int64(v[2])) }
    var geometry = ck_int_conv_geometry(
      batch: Int64(batch), input: triple(input), begin: triple(begin), end: triple([0, 0, 0]))
    description.weights.withUnsafeBufferPointer { weights in
      (description.weightZeros ?? []).withUnsafeBufferPointer { zeros in
        (description.bias ?? []).withUnsafeBufferPointer { bias in
          var spec = ck_int_conv_spec()
          spec.shape = ck_int_conv_shape(
            channels: Int64(channels), outputs: Int64(outputs), groups: Int64(groups), kernel: triple(kernel),
            stride: triple(description.stride), dilation: triple(description.dilation))
          spec.x_zero = description.inputZero
          spec.weights = weights.baseAddress
          spec.w_zero = description.weightZeros == nil ? nil : zeros.baseAddress
          spec.bias = description.bias == nil ? nil : bias.baseAddress
          spec.type = CK_INT_S32
          ck_int_conv_transposed_reference(&spec, &geometry, output.map { Int64($0) }, x, &expected)
        }
      }
    }
    let packed = try PackedTransposedConvolution(description)
    try got.withUnsafeMutableBytes { y in
      try packed.run(
        .init(batch: batch, input: input, begin: begin, output: output), x, into: y.baseAddress!, pool: nil
      ) { sizes, body in
        let memory = sizes.map {
          UnsafeMutableRawPointer.allocate(byteCount: $0.reduce(1, *) + 64, alignment: 64)
        }
        defer { memory.forEach { $0.deallocate() } }
        try body(memory)
      }
    }
    #expect(got == expected, "\(used) inputs, kernel \(kernel), stride \(description.stride)")
  }
}
