import CKernels
import FloatExecution
import IntegerKernels
import ONNXTensor

/// A transposed convolution as ordinary ones: the outputs whose position plus the padding leaves the same rest by the stride
/// see the same taps, and for them the operator is a convolution of stride 1 with those taps in reverse order.
final class TransposedPhases {
  typealias Content = WeightedProduct.Content

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

    /// Of the convolution that stands for it: a tap of weight zero where there is none.
    var extent: Int { max(taps.count, 1) }
  }

  private struct Phase {
    let axes: [Taps]
    let packed: PackedConvolution
  }

  /// The weights in their canonical layout, kept where the plan is to be stored.
  private let load: () throws -> Content
  private var prepared: (phases: [Phase], end: AccumulatorFinish)?

  init(_ load: @escaping () throws -> Content) { self.load = load }

  func content() throws -> Content { try load() }

  private func phases() throws -> (phases: [Phase], end: AccumulatorFinish) {
    if let prepared { return prepared }
    let (whole, end) = try load()
    let bounds = try whole.bounds()
    for output in 0..<whole.outputs
    where bounds.least[output] < Int64(Int32.min) || bounds.greatest[output] > Int64(Int32.max) {
      throw EngineFileError(.damaged, "the accumulator of output \(output) may leave 32 bits")
    }
    let axes = (0..<3).map { d in
      (0..<whole.stride[d]).map {
        Taps(rest: $0, kernel: whole.kernel[d], stride: whole.stride[d], dilation: whole.dilation[d])
      }
    }
    var phases: [Phase] = []
    for depth in axes[0] {
      for height in axes[1] {
        for width in axes[2] {
          let own = [depth, height, width]
          phases.append(Phase(axes: own, packed: try PackedConvolution(Self.description(whole, own))))
        }
      }
    }
    let result = (phases, end)
    prepared = result
    return result
  }

  private static func description(_ whole: ConvolutionDescription, _ axes: [Taps]) -> ConvolutionDescription {
    var phase = whole
    phase.kernel = axes.map(\.extent)
    phase.stride = [1, 1, 1]
    phase.dilation = axes.map(\.dilation)
    let size = whole.kernel.reduce(1, *)
    let isEmpty = axes.contains { $0.taps.isEmpty }
    let rows = whole.weights.count / size
    let zeroOf = rows / whole.outputs
    phase.weights = []
    phase.weights.reserveCapacity(rows * phase.kernel.reduce(1, *))
    if isEmpty {
      phase.kernel = [1, 1, 1]
      phase.dilation = [1, 1, 1]
    }
    for row in 0..<rows {
      guard !isEmpty else {
        phase.weights.append(Int8(clamping: whole.weightZeros?[row / zeroOf] ?? 0))
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

  /// y: [batch][output][outputs], bytes or accumulators as the finish asks for.
  func run(
    _ x: UnsafePointer<UInt8>, batch: Int, input: [Int], begin: [Int], output: [Int], stride: [Int],
    _ context: StepContext, into y: UnsafeMutableRawPointer
  ) throws {
    for phase in try phases().phases {
      var place = ck_int_phase()
      let isEmpty = phase.axes.contains { $0.taps.isEmpty }
      var before = [0, 0, 0]
      var after = [0, 0, 0]
      var size = [0, 0, 0]
      var first = [0, 0, 0]
      var skip = [0, 0, 0]
      var count = [0, 0, 0]
      for d in 0..<3 {
        let taps = phase.axes[d]
        let rest = (taps.rest - begin[d]) % stride[d]
        first[d] = rest < 0 ? rest + stride[d] : rest
        guard first[d] < output[d] else { continue }
        count[d] = (output[d] - 1 - first[d]) / stride[d] + 1
        let start = (first[d] + begin[d] - taps.rest) / stride[d]
        let offset = isEmpty ? 0 : taps.offset
        let lead = max(0, offset - start)
        skip[d] = max(0, start - offset)
        before[d] = (isEmpty ? 0 : (taps.extent - 1) * taps.dilation) + lead
        after[d] = max(0, skip[d] + count[d] - input[d] - lead)
        size[d] = input[d] + lead + after[d]
      }
      guard count.allSatisfy({ $0 > 0 }) else { continue }
      let pixel = phase.packed.outputs * (phase.packed.isWide ? 4 : 1)
      let bytes = try context.elementCount([batch, pixel] + size)
      _ = try context.elementCount(
        [batch, phase.packed.outputs] + zip(input, zip(before, after)).map { $0 + $1.0 + $1.1 })
      let geometry = ConvolutionGeometry(batch: batch, input: input, begin: before, end: after)
      let scratch = TensorStorage(byteCount: bytes, pool: context.pool)
      let workspace = TensorStorage(
        byteCount: try context.elementCount(try phase.packed.workspace(geometry)), pool: context.pool)
      try phase.packed.run(
        geometry, x, into: scratch.base, workspace: workspace.base, pool: context.threads.handle)
      func triple(_ v: [Int]) -> (Int64, Int64, Int64) { (Int64(v[0]), Int64(v[1]), Int64(v[2])) }
      place.batch = Int64(batch)
      place.bytes = Int64(pixel)
      place.size = triple(size)
      place.skip = triple(skip)
      place.output = triple(output)
      place.first = triple(first)
      place.step = triple(stride)
      place.count = triple(count)
      ck_int_scatter_phase(
        &place, scratch.base.assumingMemoryBound(to: UInt8.self), y.assumingMemoryBound(to: UInt8.self))
    }
  }

  func end() throws -> AccumulatorFinish { try phases().end }
}
