import CKernels
import ONNXTensor

/// The arithmetic of blocks, sixteen at a time: one block per lane, one of its elements per row.
struct BlockGrid: Sendable {
  /// What was found for sixteen blocks, and room for their elements.
  final class Workspace {
    let rows: UnsafeMutablePointer<Float>
    let codes: UnsafeMutablePointer<UInt8>
    fileprivate let lanes: UnsafeMutablePointer<Float>
    let scale: UnsafeMutablePointer<Float>
    /// Integers.
    let zeroPoint: UnsafeMutablePointer<Float>
    let signal: UnsafeMutablePointer<Float>
    let noise: UnsafeMutablePointer<Float>

    init(longestBlock: Int) {
      rows = .allocate(capacity: longestBlock * 16)
      codes = .allocate(capacity: longestBlock * 16)
      lanes = .allocate(capacity: 16 * 16)
      lanes.initialize(repeating: 0, count: 16 * 16)
      (scale, zeroPoint, signal, noise) = (lanes, lanes + 16, lanes + 32, lanes + 48)
    }

    deinit {
      rows.deallocate()
      codes.deallocate()
      lanes.deallocate()
    }

    fileprivate func lane(_ index: Int) -> UnsafeMutablePointer<Float> { lanes + 16 * index }
  }

  let lowest: Float
  let highest: Float
  let isSymmetric: Bool
  /// Symmetric scales may be negative.
  let isSigned: Bool
  let scaleType: ElementType
  let isa: ck_isa
  /// Grids that the search tries: widths in parts of the block's range (negative ones with a negative scale), and shifts
  /// of the zero point. Empty without a search.
  private let attempts: [(width: Float, shift: Float)]

  init(
    lowest: Float, highest: Float, isSymmetric: Bool, isSigned: Bool, searches: Bool, scaleType: ElementType,
    isa: ck_isa = ck_isa_current()
  ) {
    self.lowest = lowest
    self.highest = highest
    self.isSymmetric = isSymmetric
    self.isSigned = isSigned
    self.scaleType = scaleType
    self.isa = isa
    let widths = searches ? (0..<20).map { Float(114 - 3 * $0) / 100 } : []
    if isSymmetric {
      attempts = widths.map { ($0, 0) } + (isSigned ? widths.map { (-$0, 0) } : [])
    } else {
      attempts = [0, -1, 1].flatMap { shift in widths.prefix(12).map { ($0, shift) } }
    }
  }

  /// Finds scale and zero point of sixteen blocks of `count` elements and writes their codes. Returns whether all of
  /// their elements are finite.
  func solve(_ space: Workspace, _ count: Int) -> Bool {
    let (low, high, finite) = (space.lane(4), space.lane(5), space.lane(6))
    ck_block_range(isa, space.rows, count, low, high, space.signal, finite)
    for lane in 0..<16 { setNearest(space, lane, low[lane], high[lane]) }
    let (least, greatest) = (space.lane(7), space.lane(8))
    setLimits(space.zeroPoint, least, greatest)
    ck_block_noise(isa, space.rows, count, space.scale, least, greatest, space.noise)
    if !attempts.isEmpty { search(space, count) }
    setLimits(space.zeroPoint, least, greatest)
    ck_block_encode(isa, space.rows, count, space.scale, least, greatest, space.zeroPoint, space.codes)
    return (0..<16).allSatisfy { finite[$0] == 0 }
  }

  private func setLimits(
    _ zeroPoint: UnsafeMutablePointer<Float>, _ least: UnsafeMutablePointer<Float>,
    _ greatest: UnsafeMutablePointer<Float>
  ) {
    for lane in 0..<16 {
      least[lane] = lowest - zeroPoint[lane]
      greatest[lane] = highest - zeroPoint[lane]
    }
  }

  /// Round to nearest.
  private func setNearest(_ space: Workspace, _ lane: Int, _ low: Float, _ high: Float) {
    if isSymmetric {
      let scale = isSigned ? (high > -low ? high / lowest : low / lowest) : max(-low, high) / highest
      space.scale[lane] = stored(scale)
      space.zeroPoint[lane] = 0
    } else {
      let scale = stored(high / highest - low / highest)
      space.scale[lane] = scale
      space.zeroPoint[lane] = min(max((min(-low / scale, 4096)).rounded(.toNearestOrEven), 0), highest)
    }
  }

  private func search(_ space: Workspace, _ count: Int) {
    let (best, bestZero, most) = (space.lane(4), space.lane(5), space.lane(6))
    let (least, greatest) = (space.lane(7), space.lane(8))
    let (inverse, zeroPoint) = (space.lane(9), space.lane(10))
    let (cross, square, noise) = (space.lane(11), space.lane(12), space.lane(13))
    let finite = space.lane(14)
    finite.update(from: most, count: 16)
    for lane in 0..<16 { most[lane] = -1 }
    for attempt in attempts {
      for lane in 0..<16 {
        inverse[lane] = 1 / (space.scale[lane].magnitude * attempt.width)
        zeroPoint[lane] = isSymmetric ? 0 : min(max(space.zeroPoint[lane] + attempt.shift, 0), highest)
      }
      setLimits(zeroPoint, least, greatest)
      ck_block_attempt(isa, space.rows, count, inverse, least, greatest, cross, square)
      for lane in 0..<16 where square[lane] > 0 {
        // For these codes the error is least at cross / square, where cross² / square is taken off the signal.
        let scale = cross[lane] / square[lane]
        if cross[lane] * scale > most[lane] {
          most[lane] = cross[lane] * scale
          best[lane] = scale
          bestZero[lane] = zeroPoint[lane]
        }
      }
    }
    for lane in 0..<16 {
      if most[lane] < 0 { (best[lane], bestZero[lane]) = (space.scale[lane], space.zeroPoint[lane]) }
      best[lane] = stored(best[lane])
    }
    setLimits(bestZero, least, greatest)
    ck_block_noise(isa, space.rows, count, best, least, greatest, noise)
    for lane in 0..<16 where noise[lane] < space.noise[lane] {
      space.scale[lane] = best[lane]
      space.zeroPoint[lane] = bestZero[lane]
      space.noise[lane] = noise[lane]
    }
    most.update(from: finite, count: 16)
  }

  /// The scale as it is stored: of the wanted type, 1 for a block of zeros, and not so small that a quotient overflows.
  private func stored(_ scale: Float) -> Float {
    if scale == 0 { return 1 }
    let magnitude = scale.magnitude
    let result: Float =
      switch scaleType {
      case .float16:
        min(max(Float(Float16(magnitude)), 0x1p-24), Float(Float16.greatestFiniteMagnitude))
      case .bfloat16: min(max(BFloat16(magnitude).float, .leastNormalMagnitude), 0x1.fep127)
      default: max(magnitude, .leastNormalMagnitude)
      }
    return scale < 0 ? -result : result
  }
}
