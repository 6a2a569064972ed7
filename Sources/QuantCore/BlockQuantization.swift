import CKernels
import ONNXTensor

/// A weight in integers with one scale for each block of consecutive elements along one axis.
package struct BlockQuantized: Sendable {
  /// Packed as `raw_data` for types below 8 bits.
  package let codes: Tensor
  /// The weight's shape with the number of blocks in place of the axis' extent, in the type that was asked for.
  package let scales: Tensor
  /// Shaped as `scales`, in the type of `codes`; nil for symmetric codes, where it is zero everywhere.
  package let zeroPoints: Tensor?
  /// Sum of the squared weights.
  package let signal: Double
  /// Sum of the squared errors.
  package let noise: Double

  /// Signal over error in dB; nil for a weight without either.
  /// What the codes stand for, in float32.
  package func dequantized(blockAxis axis: Int, blockSize: Int) -> Tensor {
    let shape = codes.shape
    let (extent, inner) = (shape[axis], shape[(axis + 1)...].reduce(1, *))
    let blocks = scales.shape[axis]
    let values = codes.integers ?? []
    let (steps, zeros) = (scales.floats ?? [], zeroPoints?.integers)
    return Tensor(of: Float.self, shape: shape) { result in
      for index in values.indices {
        let (outer, rest) = (index / (extent * inner), index % (extent * inner))
        let scale = (outer * blocks + rest / inner / blockSize) * inner + rest % inner
        result[index] = Float(values[index] - (zeros?[scale] ?? 0)) * steps[scale]
      }
    }
  }

  package var sqnr: Double? { signal > 0 && noise > 0 ? decibels(signal: signal, noise: noise) : nil }
}

/// Quantizes weights in blocks along an axis, from the weights alone.
///
/// Round to nearest: symmetric scales are max|r| / (2^(b-1) - 1); asymmetric ones (max - min) / (2^b - 1) with zero in
/// the range. With `allowsNegativeScales` a symmetric scale has the sign that gives the largest magnitude the lowest code:
/// -r / 2^(b-1) of it. Least error: among grids with shrunken and widened ranges, each with the scale of least squared
/// error for its codes, the best; never worse than round to nearest, block by block. A block's codes follow from its
/// values alone, in one order of operations, whatever the number of threads.
package struct BlockQuantizer: Sendable {
  package enum Method: String, Sendable, CaseIterable {
    case roundToNearest = "rtn"
    case leastError = "mse"
  }

  /// int4 or int8, symmetric; uint4 or uint8, asymmetric.
  package var elementType: ElementType
  package var axis: Int
  /// Elements along the axis that share a scale; the last block may be shorter.
  package var blockSize: Int
  package var method = Method.roundToNearest
  /// float32, float16 or bfloat16.
  package var scaleType = ElementType.float32
  package var allowsNegativeScales = false

  package init(elementType: ElementType, axis: Int, blockSize: Int) {
    self.elementType = elementType
    self.axis = axis
    self.blockSize = blockSize
  }

  /// - Throws: `QuantizationError` for types, axes or sizes that do not fit, NaN or infinity.
  package func quantize(_ weight: Tensor, threads: Int = 1) throws(QuantizationError) -> BlockQuantized {
    guard [.int4, .uint4, .int8, .uint8].contains(elementType), let codes = QuantizationScheme.codes(of: elementType)
    else { throw QuantizationError(.unsupportedType, "\(elementType.name) is not a type for weights in blocks") }
    guard weight.shape.indices.contains(axis), blockSize > 0 else {
      throw QuantizationError(.badShape, "no blocks of \(blockSize) on axis \(axis) of shape \(weight.shape)")
    }
    let grid = BlockGrid(
      lowest: Float(codes.lowerBound), highest: Float(codes.upperBound), isSymmetric: codes.lowerBound < 0,
      isSigned: allowsNegativeScales, searches: method == .leastError, scaleType: scaleType)
    let extents = BlockExtents(shape: weight.shape, axis: axis, blockSize: blockSize)
    let result: Result<BlockQuantized, QuantizationError>
    switch weight.elementType {
    case .float32: result = weight.withElements(Float.self) { run($0, weight, grid, extents, threads) }
    case .float16: result = weight.withElements(Float16.self) { run($0, weight, grid, extents, threads) }
    case .bfloat16: result = weight.withElements(BFloat16.self) { run($0, weight, grid, extents, threads) }
    default:
      throw QuantizationError(
        .unsupportedType, "a weight of type \(weight.elementType.name) cannot be quantized in blocks")
    }
    return try result.get()
  }

  private func run<Element: BlockElement>(
    _ values: UnsafeBufferPointer<Element>, _ weight: Tensor, _ grid: BlockGrid, _ extents: BlockExtents, _ threads: Int
  ) -> Result<BlockQuantized, QuantizationError> {
    let storage = TensorStorage(byteCount: weight.count)
    let codes = storage.base.bindMemory(to: UInt8.self, capacity: weight.count)
    let count = extents.scaleCount
    var scales = [Float](repeating: 0, count: count)
    var zeroPoints = [UInt8](repeating: 0, count: count)
    var sums = [BlockSums](repeating: BlockSums(), count: extents.units)
    if let base = values.baseAddress, weight.count > 0 {
      scales.withUnsafeMutableBufferPointer { scales in
        zeroPoints.withUnsafeMutableBufferPointer { zeroPoints in
          sums.withUnsafeMutableBufferPointer { sums in
            guard let scales = scales.baseAddress, let zeros = zeroPoints.baseAddress else { return }
            let job = BlockJob(
              values: base, codes: codes, scales: scales, zeroPoints: zeros, grid: grid, extents: extents)
            BlockLoop.run(count: extents.units, threads: threads) { range in
              let space = BlockGrid.Workspace(longestBlock: extents.longestBlock)
              for unit in range { sums[unit] = job.run(unit, space) }
            }
          }
        }
      }
    }
    var (signal, noise) = (0.0, 0.0)
    for sum in sums {
      guard sum.isFinite else {
        return .failure(
          QuantizationError(
            .nonFinite, "a weight holds NaN or infinity; repair the model, its results are not numbers"))
      }
      signal += sum.signal
      noise += sum.noise
    }
    if elementType.bitWidth == 4 { Self.pack(codes, count: weight.count) }
    var shape = weight.shape
    shape[axis] = extents.blocks
    let zeros = Tensor(codes: zeroPoints, elementType: elementType, shape: shape)
    return .success(
      BlockQuantized(
        codes: Tensor(elementType: elementType, shape: weight.shape, storage: storage),
        scales: Self.tensor(scales, scaleType, shape), zeroPoints: grid.isSymmetric ? nil : zeros, signal: signal,
        noise: noise))
  }

  /// Two codes to a byte, in place.
  private static func pack(_ codes: UnsafeMutablePointer<UInt8>, count: Int) {
    for pair in 0..<count / 2 { codes[pair] = codes[2 * pair] & 15 | codes[2 * pair + 1] << 4 }
    if count % 2 == 1 { codes[count / 2] = codes[count - 1] & 15 }
  }

  private static func tensor(_ values: [Float], _ type: ElementType, _ shape: [Int]) -> Tensor {
    switch type {
    case .float16: Tensor(values.map { Float16($0) }, shape: shape)
    case .bfloat16: Tensor(values.map { BFloat16($0) }, shape: shape)
    default: Tensor(values, shape: shape)
    }
  }
}

/// Where the blocks of a tensor lie: `outer` times `extent` along the axis times `inner`.
struct BlockExtents: Sendable {
  static let lanes = 16
  /// Columns that one unit of work covers, a multiple of the lanes.
  static let columns = 256

  let outer: Int
  let extent: Int
  let inner: Int
  let blockSize: Int
  let blocks: Int
  /// Independent pieces of work.
  let units: Int

  init(shape: [Int], axis: Int, blockSize: Int) {
    outer = shape[..<axis].reduce(1, *)
    extent = shape[axis]
    inner = shape[(axis + 1)...].reduce(1, *)
    self.blockSize = min(blockSize, max(extent, 1))
    blocks = (extent + self.blockSize - 1) / self.blockSize
    units =
      inner == 1
      ? (outer + Self.lanes - 1) / Self.lanes : outer * blocks * ((inner + Self.columns - 1) / Self.columns)
  }

  var scaleCount: Int { outer * blocks * inner }
  var longestBlock: Int { max(blockSize, 1) }
}

struct BlockSums {
  var signal = 0.0
  var noise = 0.0
  var isFinite = true
}

/// Element types that weights are stored in.
protocol BlockElement: TensorElement {
  var real: Float { get }
}

extension Float: BlockElement { var real: Float { self } }
extension Float16: BlockElement { var real: Float { Float(self) } }
extension BFloat16: BlockElement { var real: Float { float } }

/// One weight on its way into blocks. Units touch disjoint parts of the results.
private struct BlockJob<Element: BlockElement>: @unchecked Sendable {
  let values: UnsafePointer<Element>
  let codes: UnsafeMutablePointer<UInt8>
  let scales: UnsafeMutablePointer<Float>
  let zeroPoints: UnsafeMutablePointer<UInt8>
  let grid: BlockGrid
  let extents: BlockExtents

  func run(_ unit: Int, _ space: BlockGrid.Workspace) -> BlockSums {
    var sums = BlockSums()
    let e = extents
    if e.inner == 1 {
      let first = unit * BlockExtents.lanes
      let lanes = min(BlockExtents.lanes, e.outer - first)
      for block in 0..<e.blocks {
        let start = first * e.extent + block * e.blockSize
        solve(
          start: start, step: 1, laneStep: e.extent, lanes: lanes,
          count: min(e.blockSize, e.extent - block * e.blockSize), scale: first * e.blocks + block,
          scaleStep: e.blocks, space, &sums)
      }
    } else {
      let chunks = (e.inner + BlockExtents.columns - 1) / BlockExtents.columns
      let (row, chunk) = (unit / chunks, unit % chunks)
      let (outer, block) = (row / e.blocks, row % e.blocks)
      let end = min((chunk + 1) * BlockExtents.columns, e.inner)
      for column in stride(from: chunk * BlockExtents.columns, to: end, by: BlockExtents.lanes) {
        solve(
          start: (outer * e.extent + block * e.blockSize) * e.inner + column, step: e.inner, laneStep: 1,
          lanes: min(BlockExtents.lanes, end - column), count: min(e.blockSize, e.extent - block * e.blockSize),
          scale: row * e.inner + column, scaleStep: 1, space, &sums)
      }
    }
    return sums
  }

  /// Sixteen blocks side by side; lanes past `lanes` hold zeros.
  @inline(__always)
  private func solve(
    start: Int, step: Int, laneStep: Int, lanes: Int, count: Int, scale: Int, scaleStep: Int,
    _ space: BlockGrid.Workspace, _ sums: inout BlockSums
  ) {
    let isWhole = laneStep == 1 && lanes == BlockExtents.lanes
    let (rows, codes) = (space.rows, space.codes)
    if isWhole, Element.self == Float.self {
      let source = UnsafeRawPointer(values + start)
      for index in 0..<count {
        UnsafeMutableRawPointer(rows + 16 * index).copyMemory(from: source + 4 * index * step, byteCount: 64)
      }
    } else {
      if lanes < BlockExtents.lanes { rows.update(repeating: 0, count: 16 * count) }
      for lane in 0..<lanes {
        for index in 0..<count { rows[16 * index + lane] = values[start + index * step + lane * laneStep].real }
      }
    }
    let isFinite = grid.solve(space, count)
    sums.isFinite = sums.isFinite && isFinite
    for lane in 0..<lanes {
      sums.signal += Double(space.signal[lane])
      sums.noise += Double(space.noise[lane])
      scales[scale + lane * scaleStep] = space.scale[lane]
      zeroPoints[scale + lane * scaleStep] = isFinite ? UInt8(space.zeroPoint[lane]) : 0
    }
    let target = self.codes + start
    if isWhole {
      for index in 0..<count {
        UnsafeMutableRawPointer(target + index * step).copyMemory(from: codes + 16 * index, byteCount: 16)
      }
    } else {
      for lane in 0..<lanes {
        for index in 0..<count { target[index * step + lane * laneStep] = codes[16 * index + lane] }
      }
    }
  }
}

/// Runs a loop on a few threads.
enum BlockLoop {
  private struct Body { let call: (Range<Int>) -> Void }

  static func run(count: Int, threads: Int, _ body: (Range<Int>) -> Void) {
    guard threads > 1, count > 1 else { return body(0..<count) }
    let pool = ck_pool_create(Int32(clamping: threads))
    defer { ck_pool_destroy(pool) }
    withoutActuallyEscaping(body) { body in
      var context = Body(call: body)
      withUnsafeMutablePointer(to: &context) { context in
        ck_parallel_for(
          pool, count, max(1, count / (threads * 8)),
          { context, begin, end in context?.assumingMemoryBound(to: Body.self).pointee.call(begin..<end) }, context)
      }
    }
  }
}
