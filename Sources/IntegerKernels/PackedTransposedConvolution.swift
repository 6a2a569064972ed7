import CKernels

/// A transposed convolution as ordinary ones: the outputs whose position plus the padding leaves the same rest by the stride
/// see the same taps, and for them the operator is a convolution of stride 1 with those taps in reverse order.
package final class PackedTransposedConvolution: @unchecked Sendable {
  /// The taps of one axis that reach outputs of one rest.
  private struct Taps {
    let rest: Int
    let taps: [Int]
    /// How far behind the output's own position the first tap reads.
    let offset: Int
    let dilation: Int

    init(rest: Int, kernel: Int, stride: Int, dilation: Int) {
      self.rest = rest
      taps = (0..<kernel).filter { $0 * dilation % stride == rest }
      offset = taps.first.map { ($0 * dilation - rest) / stride } ?? 0
      self.dilation = taps.count > 1 ? (taps[1] - taps[0]) * dilation / stride : 1
    }
  }

  private struct Phase {
    let axes: [Taps]
    let packed: PackedConvolution
    /// No tap of some axis reaches these outputs: one tap of weight zero stands for them.
    var isEmpty: Bool { axes.contains { $0.taps.isEmpty } }
  }

  /// Where an input and its output lie: extents of depth, height and width, and what is cut off at the front of the output.
  package struct Geometry: Sendable {
    package var batch: Int
    package var input: [Int]
    package var begin: [Int]
    package var output: [Int]

    package init(batch: Int, input: [Int], begin: [Int], output: [Int]) {
      self.batch = batch
      self.input = input
      self.begin = begin
      self.output = output
    }
  }

  package let outputs: Int
  package let isWide: Bool
  private let stride: [Int]
  private let phases: [Phase]

  /// Weights [outputs][channels / groups][kernel], not reversed. The caller has proved with `bounds` that no accumulator
  /// leaves Int32: those of all taps together bound those of each phase.
  package init(_ description: ConvolutionDescription) throws(IntegerKernelError) {
    let depth = description.groups > 0 ? description.channels / description.groups : 0
    guard description.kernel.count == 3, description.stride.count == 3, description.dilation.count == 3,
      (description.kernel + description.stride + description.dilation).allSatisfy({ $0 > 0 }), description.outputs > 0,
      description.weights.count == description.outputs * depth * description.kernel.reduce(1, *), depth > 0
    else { throw IntegerKernelError("weights or sizes do not fit the transposed convolution") }
    outputs = description.outputs
    isWide = description.requantization == nil
    stride = description.stride
    var axes: [[Taps]] = []
    for d in 0..<3 {
      axes.append(
        (0..<description.stride[d]).map {
          Taps(
            rest: $0, kernel: description.kernel[d], stride: description.stride[d], dilation: description.dilation[d])
        })
    }
    var phases: [Phase] = []
    for depth in axes[0] {
      for height in axes[1] {
        for width in axes[2] {
          let own = [depth, height, width]
          phases.append(Phase(axes: own, packed: try PackedConvolution(Self.phase(of: description, own))))
        }
      }
    }
    self.phases = phases
  }

  private static func phase(of whole: ConvolutionDescription, _ axes: [Taps]) -> ConvolutionDescription {
    var phase = whole
    let isEmpty = axes.contains { $0.taps.isEmpty }
    phase.kernel = isEmpty ? [1, 1, 1] : axes.map(\.taps.count)
    phase.stride = [1, 1, 1]
    phase.dilation = isEmpty ? [1, 1, 1] : axes.map(\.dilation)
    let size = whole.kernel.reduce(1, *)
    let rows = whole.weights.count / size
    phase.weights = []
    phase.weights.reserveCapacity(rows * phase.kernel.reduce(1, *))
    for row in 0..<rows {
      guard !isEmpty else {
        phase.weights.append(Int8(clamping: whole.weightZeros?[row / (rows / whole.outputs)] ?? 0))
        continue
      }
      for d in axes[0].taps.reversed() {
        for h in axes[1].taps.reversed() {
          for w in axes[2].taps.reversed() {
            phase.weights.append(whole.weights[row * size + (d * whole.kernel[1] + h) * whole.kernel[2] + w])
          }
        }
      }
    }
    return phase
  }

  /// x is channels last, readable for 64 bytes past its end; y gets [batch][output][outputs] of UInt8, or of Int32 where
  /// `isWide`.
  ///
  /// - Parameter scratch: gives memory of some sizes, each a product of factors that it checks, to what it is handed, and
  ///   takes it back.
  package func run(
    _ geometry: Geometry, _ x: UnsafePointer<UInt8>, into y: UnsafeMutableRawPointer, pool: OpaquePointer?,
    scratch: ([[Int]], ([UnsafeMutableRawPointer]) throws -> Void) throws -> Void
  ) throws {
    let pixel = outputs * (isWide ? 4 : 1)
    for phase in phases {
      var padded = ConvolutionGeometry(batch: geometry.batch, input: geometry.input)
      var (size, first, skip, count) = ([0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0])
      for d in 0..<3 {
        let taps = phase.axes[d]
        let rest = (taps.rest - geometry.begin[d]) % stride[d]
        first[d] = rest < 0 ? rest + stride[d] : rest
        guard first[d] < geometry.output[d] else { continue }
        count[d] = (geometry.output[d] - 1 - first[d]) / stride[d] + 1
        // The output at `first` reads its taps up to input position `start` less the first tap's offset.
        let start = (first[d] + geometry.begin[d] - taps.rest) / stride[d]
        let offset = phase.isEmpty ? 0 : taps.offset
        let lead = max(0, offset - start)
        skip[d] = max(0, start - offset)
        padded.begin[d] = (phase.isEmpty ? 0 : (taps.taps.count - 1) * taps.dilation) + lead
        padded.end[d] = max(0, skip[d] + count[d] - geometry.input[d] - lead)
        size[d] = geometry.input[d] + lead + padded.end[d]
      }
      guard count.allSatisfy({ $0 > 0 }) else { continue }
      func triple(_ v: [Int]) -> (Int64, Int64, Int64) { (Int64(v[0]), Int64(v[1]), Int64(v[2])) }
      var place = ck_int_phase(
        batch: Int64(geometry.batch), bytes: Int64(pixel), size: triple(size), skip: triple(skip),
        output: triple(geometry.output), first: triple(first), step: triple(stride), count: triple(count))
      let spread = (0..<3).map { geometry.input[$0] + padded.begin[$0] + padded.end[$0] }
      let workspace = try phase.packed.workspace(padded)
      try scratch([[geometry.batch, pixel] + spread, [workspace]]) { memory in
        try phase.packed.run(padded, x, into: memory[0], workspace: memory[1], pool: pool)
        ck_int_scatter_phase(
          &place, memory[0].assumingMemoryBound(to: UInt8.self), y.assumingMemoryBound(to: UInt8.self))
      }
    }
  }
}
