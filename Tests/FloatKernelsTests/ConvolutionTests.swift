import FloatKernels
import Glibc
import Testing

@Suite struct ConvolutionTests {
  /// Indices of all positions of a box, last axis fastest.
  private func positions(_ sizes: [Int]) -> [[Int]] {
    sizes.reduce([[]]) { heads, size in heads.flatMap { head in (0..<size).map { head + [$0] } } }
  }

  private func flat(_ position: [Int], _ sizes: [Int]) -> Int? {
    var index = 0
    for (p, size) in zip(position, sizes) {
      if p < 0 || p >= size { return nil }
      index = index * size + p
    }
    return index
  }

  private func convolution(
    _ s: ConvolutionShape, _ x: [Float], _ w: [Float], transposed: Bool, finish: (Int, Int, Float) -> Float
  ) -> [Float] {
    let inPixels = s.input.reduce(1, *)
    let taps = positions(s.kernel)
    let pixels = positions(s.output)
    let (inGroup, outGroup) = (s.inChannels / s.groups, s.outChannels / s.groups)
    var y: [Float] = []
    for image in 0..<s.batch {
      for channel in 0..<s.outChannels {
        let group = channel / max(outGroup, 1)
        for pixel in pixels {
          var sum: Float = 0
          for inner in 0..<inGroup {
            let from = (image * s.inChannels + group * inGroup + inner) * inPixels
            for (t, tap) in taps.enumerated() {
              var position: [Int] = []
              var reaches = true
              for axis in tap.indices {
                if transposed {
                  let distance = pixel[axis] + s.padBegin[axis] - tap[axis] * s.dilations[axis]
                  let stride = s.strides[axis]
                  reaches = reaches && distance % stride == 0
                  position.append(distance >= 0 ? distance / stride : -1)
                } else {
                  position.append(pixel[axis] * s.strides[axis] - s.padBegin[axis] + tap[axis] * s.dilations[axis])
                }
              }
              if !reaches { continue }
              let value = flat(position, s.input).map { x[from + $0] } ?? 0
              let weight =
                transposed
                ? w[((group * inGroup + inner) * outGroup + channel % outGroup) * taps.count + t]
                : w[(channel * inGroup + inner) * taps.count + t]
              sum = fmaf(weight, value, sum)
            }
          }
          y.append(finish(y.count, channel, sum))
        }
      }
    }
    return y
  }

  private func check(_ s: ConvolutionShape, transposed: Bool = false, _ random: inout Random) throws -> Bool {
    let (inPixels, outPixels, taps) = (s.input.reduce(1, *), s.output.reduce(1, *), s.kernel.reduce(1, *))
    let x = random.floats(s.batch * s.inChannels * inPixels)
    let w = random.floats(s.inChannels * s.outChannels / s.groups * taps)
    let bias = random.chance(70) ? random.floats(s.outChannels) : nil
    let residual = random.chance(30) ? random.floats(s.batch * s.outChannels * outPixels) : nil
    let activation = random.pick(referenceActivations)
    let expected = convolution(s, x, w, transposed: transposed) { index, channel, sum in
      var v = sum
      if let bias { v += bias[channel] }
      if let residual { v += residual[index] }
      return reference(activation, v) ?? v
    }
    for backend in backends {
      let y = try output(expected.count) { y in
        try x.withUnsafeBufferPointer { x in
          try w.withUnsafeBufferPointer { w in
            try (bias ?? []).withUnsafeBufferPointer { biasBuffer in
              try (residual ?? []).withUnsafeBufferPointer { residualBuffer in
                let epilogue = Epilogue(
                  biasRow: bias == nil ? nil : biasBuffer, residual: residual == nil ? nil : residualBuffer,
                  activation: activation)
                if transposed {
                  let packed = try backend.packTransposedConvolution(s, weights: w)
                  try backend.convolveTransposed(s, x, packed, into: y, epilogue: epilogue)
                } else {
                  let packed = try backend.packConvolution(s, weights: w)
                  try backend.convolve(s, x, packed, into: y, epilogue: epilogue)
                }
              }
            }
          }
        }
      }
      let difference = firstDifference(y, expected)
      #expect(difference == nil, "\(backend.label), transposed \(transposed): \(s)")
      if difference != nil { return false }
    }
    return true
  }

  private func shape(_ random: inout Random, rank: Int, transposed: Bool) -> ConvolutionShape {
    let groups = random.pick([1, 1, 1, 2, 3, 8])
    let depthwise = random.chance(30)
    let inGroup = depthwise ? 1 : random.pick(1...(rank == 3 ? 4 : 9))
    let outGroup = depthwise ? random.pick([1, 1, 2, 14]) : random.pick(0...(rank == 3 ? 8 : 20))
    var s = ConvolutionShape(
      batch: random.pick([0, 1, 1, 1, 2]), groups: groups, inChannels: groups * inGroup,
      outChannels: groups * outGroup, input: [], kernel: [], strides: [], dilations: [], padBegin: [], output: [])
    for _ in 0..<rank {
      let input = random.pick(1...(rank == 1 ? 150 : rank == 2 ? 19 : 7))
      let kernel = random.pick([1, 1, 2, 3, 3, rank == 3 ? 2 : 5])
      let (stride, dilation) = (random.pick([1, 1, 2, 3]), random.pick([1, 1, 1, 2, 3]))
      let (before, after) = (random.pick(-1...3), random.pick(0...3))
      let span = (kernel - 1) * dilation + 1
      s.input.append(input)
      s.kernel.append(kernel)
      s.strides.append(stride)
      s.dilations.append(dilation)
      s.padBegin.append(before)
      if transposed {
        s.output.append(max(0, (input - 1) * stride + span - before - after + random.pick(0...(stride - 1))))
      } else {
        s.output.append(max(0, (input + before + after - span + stride) / stride))
      }
    }
    return s
  }

  @Test(arguments: [1, 2, 3]) func randomShapes(rank: Int) throws {
    var random = Random(UInt64(10 + rank))
    for _ in 0..<(rank == 2 ? 120 : 50) {
      let s = shape(&random, rank: rank, transposed: false)
      if try !check(s, &random) { return }
    }
  }

  @Test(arguments: [1, 2, 3]) func randomTransposedShapes(rank: Int) throws {
    var random = Random(UInt64(20 + rank))
    for _ in 0..<(rank == 2 ? 80 : 40) {
      let s = shape(&random, rank: rank, transposed: true)
      if try !check(s, transposed: true, &random) { return }
    }
  }

  @Test func layersOfNetworks() throws {
    var random = Random(30)
    func layer(_ c: Int, _ oc: Int, _ size: Int, _ k: Int, _ stride: Int, groups: Int = 1) -> ConvolutionShape {
      let out = (size + 2 * (k / 2) - k) / stride + 1
      return ConvolutionShape(
        batch: 1, groups: groups, inChannels: c, outChannels: oc, input: [size, size], kernel: [k, k],
        strides: [stride, stride], dilations: [1, 1], padBegin: [k / 2, k / 2], output: [out, out])
    }
    for s in [
      layer(64, 13, 7, 3, 1), layer(3, 16, 40, 7, 2), layer(50, 40, 14, 1, 1), layer(40, 24, 13, 1, 2),
      layer(16, 16, 28, 3, 1, groups: 16), layer(5, 5, 60, 5, 2, groups: 5), layer(4, 8, 112, 3, 1, groups: 4),
    ] {
      #expect(try check(s, &random))
    }
  }

  /// Strips would take far more memory than the tensors: elements are gathered one by one.
  @Test func farApartTaps() throws {
    var random = Random(31)
    let s = ConvolutionShape(
      batch: 1, groups: 2, inChannels: 4, outChannels: 6, input: [5, 9], kernel: [2, 3], strides: [1, 1],
      dilations: [100_000, 200_000], padBegin: [100_000, 200_000], output: [5, 9])
    #expect(try check(s, &random))
    var many = s
    (many.input, many.kernel, many.strides) = ([1, 300], [1, 100], [1, 97])
    (many.dilations, many.padBegin, many.output) = ([1, 1], [0, 0], [1, 3])
    #expect(try check(many, &random))
  }

  /// A NaN in padding-free pixels reaches exactly the outputs that see it; an infinite weight meets the padding's zero.
  @Test func specialValues() throws {
    var random = Random(32)
    let s = ConvolutionShape(
      batch: 1, groups: 1, inChannels: 1, outChannels: 1, input: [5], kernel: [3], strides: [1], dilations: [1],
      padBegin: [1], output: [5])
    let x: [Float] = [1, 2, .nan, 3, 4]
    let w: [Float] = [.infinity, 1, 1]
    _ = random.next()
    let expected = convolution(s, x, w, transposed: false) { $2 }
    #expect(expected[0].isNaN)
    for backend in backends {
      let y = try output(5) { y in
        try x.withUnsafeBufferPointer { x in
          try w.withUnsafeBufferPointer { w in
            try backend.convolve(s, x, backend.packConvolution(s, weights: w), into: y)
          }
        }
      }
      #expect(firstDifference(y, expected) == nil)
    }
  }

  @Test func wrongSizesAreErrors() throws {
    let backend = FloatBackend(pool: nil)
    let good = ConvolutionShape(
      batch: 1, groups: 1, inChannels: 2, outChannels: 2, input: [4, 4], kernel: [3, 3], strides: [1, 1],
      dilations: [1, 1], padBegin: [1, 1], output: [4, 4])
    let w = [Float](repeating: 0, count: 36)
    try w.withUnsafeBufferPointer { w in
      let packed = try backend.packConvolution(good, weights: w)
      var y = [Float](repeating: 0, count: 32)
      y.withUnsafeMutableBufferPointer { y in
        let x = UnsafeBufferPointer(rebasing: w[..<32])
        #expect(throws: Never.self) { try backend.convolve(good, x, packed, into: y) }
        for change: (inout ConvolutionShape) -> Void in [
          { $0.groups = 0 }, { $0.groups = 3 }, { $0.batch = 2 }, { $0.output = [5, 5] }, { $0.kernel = [3] },
          { $0.strides = [0, 1] }, { $0.input = [Int.max, 4] }, { $0.padBegin = [1 << 40, 0] }, { $0.kernel = [1, 1] },
        ] {
          var bad = good
          change(&bad)
          #expect(throws: KernelError.self) { try backend.convolve(bad, x, packed, into: y) }
        }
      }
    }
  }
}
