import ONNXGraph
import ONNXTensor

/// Samples each plane at the points of a grid, whose coordinates run from -1 to 1. Any number of spatial axes.
///
/// Opsets 16 (modes bilinear, bicubic), 20, 22. Coordinates are formed in the arithmetic of X.
enum GridSample: Operator {
  enum Mode { case nearest, linear, cubic }
  enum Padding { case zeros, border, reflection }

  struct Attributes {
    let mode: Mode
    let padding: Padding
    let alignsCorners: Bool

    init(_ node: OperatorNode) throws {
      switch try node.string("mode", default: "linear") {
      case "linear", "bilinear": mode = .linear
      case "cubic", "bicubic": mode = .cubic
      case "nearest": mode = .nearest
      case let other: throw OperatorError("attribute 'mode' is '\(other)'")
      }
      switch try node.string("padding_mode", default: "zeros") {
      case "zeros": padding = .zeros
      case "border": padding = .border
      case "reflection": padding = .reflection
      case let other: throw OperatorError("attribute 'padding_mode' is '\(other)'")
      }
      alignsCorners = try node.bool("align_corners", default: false)
    }
  }

  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let attributes = try Attributes(node)
    return .tensors { inputs, context in
      let x = try inputs[0]
      let grid = try inputs[1]
      let rank = x.rank - 2
      guard rank >= 1, grid.rank == x.rank, grid.shape[0] == x.shape[0], grid.shape[x.rank - 1] == rank else {
        throw OperatorError("input \(x.shape) and grid \(grid.shape) do not fit together")
      }
      let shape = Array(x.shape.prefix(2)) + grid.shape[1...rank]
      try CheckedSize.check(shape, of: x.elementType)
      if extent(shape) > 0, x.shape[2...].contains(0) { throw OperatorError("input \(x.shape) has nothing to sample") }
      return try run(try x.elementType.computeType(), attributes, x, grid, shape)
    }
  }

  @_specialize(where T == Float)
  private static func run<T: ComputeReal>(
    _ type: T.Type, _ attributes: Attributes, _ x: Tensor, _ grid: Tensor, _ shape: [Int]
  ) throws -> Tensor {
    let values = try x.reals(T.self)
    let points = try grid.reals(T.self)
    let spatial = Array(x.shape[2...])
    let rank = spatial.count
    let plane = extent(spatial)
    let outPlane = extent(shape[2...])
    let strides = rowMajorStrides(spatial)
    var y = [T](repeating: 0, count: extent(shape))
    for n in 0..<shape[0] {
      for point in 0..<outPlane {
        // The grid names the last axis first.
        var taps: [(offset: Int, weight: T)] = [(0, 1)]
        for axis in 0..<rank {
          let raw = points[(n * outPlane + point) * rank + (rank - 1 - axis)]
          let own = axisTaps(attributes, raw, spatial[axis])
          taps = taps.flatMap { tap in
            own.map { (tap.offset + $0.index * strides[axis], tap.weight * $0.weight) }
          }
        }
        for channel in 0..<shape[1] {
          let base = (n * shape[1] + channel) * plane
          var sum: T = 0
          for tap in taps { T.accumulate(&sum, tap.weight, values[base + tap.offset]) }
          y[(n * shape[1] + channel) * outPlane + point] = sum
        }
      }
    }
    return try Tensor(reals: y, as: x.elementType, shape: shape)
  }

  /// The elements of one axis that a coordinate reads; those of zero padding are left out.
  private static func axisTaps<T: ComputeReal>(
    _ attributes: Attributes, _ raw: T, _ extent: Int
  ) -> [(index: Int, weight: T)] {
    let length = T(extent)
    var x = attributes.alignsCorners ? (raw + 1) / 2 * (length - 1) : ((raw + 1) * length - 1) / 2
    // Beyond any image and within the integers, NaN included.
    x = x.isNaN ? -1e6 : min(max(x, -1e9), 1e9)
    if attributes.mode == .nearest { x.round(.toNearestOrEven) }
    let low: T = attributes.alignsCorners ? 0 : -0.5
    let high = attributes.alignsCorners ? length - 1 : length - 0.5
    if x < low || x > high {
      switch attributes.padding {
      case .zeros: break
      case .border: x = min(max(x, 0), length - 1)
      case .reflection: x = reflect(x, low, high)
      }
    }
    let floor = x.rounded(.down)
    let fraction = x - floor
    let taps: [(Int, T)]
    switch attributes.mode {
    case .nearest: taps = [(Int(x), 1)]
    case .linear: taps = [(Int(floor), 1 - fraction), (Int(floor) + 1, fraction)]
    case .cubic: taps = cubicWeights(fraction).enumerated().map { (Int(floor) - 1 + $0, $1) }
    }
    return taps.compactMap { index, weight in
      if index >= 0 && index < extent { return (index, weight) }
      switch attributes.padding {
      case .zeros: return nil
      case .border: return (min(max(index, 0), extent - 1), weight)
      case .reflection: return (min(max(Int(reflect(T(index), low, high)), 0), extent - 1), weight)
      }
    }
  }

  private static func reflect<T: ComputeReal>(_ x: T, _ low: T, _ high: T) -> T {
    let range = high - low
    guard range > 0 else { return low }
    let distance = x < low ? low - x : x - high
    if x >= low && x <= high { return x }
    let turns = (distance / range).rounded(.towardZero)
    let rest = distance - turns * range
    let isEven = turns.truncatingRemainder(dividingBy: 2) == 0
    return isEven == (x < low) ? low + rest : high - rest
  }

  private static func cubicWeights<T: ComputeReal>(_ x: T) -> [T] {
    let a: T = -0.75
    func near(_ d: T) -> T { ((a + 2) * d - (a + 3)) * d * d + 1 }
    func far(_ d: T) -> T { ((a * d - 5 * a) * d + 8 * a) * d - 4 * a }
    return [far(x + 1), near(x), near(1 - x), far(2 - x)]
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    guard let x = inputs.extents(0), x.count >= 3, let grid = inputs.extents(1), grid.count == x.count else {
      return [InferredValue(inputs.elementType(0), extents: nil)]
    }
    return [
      InferredValue(
        inputs.elementType(0), extents: [x[0].merged(with: grid[0]), x[1]] + grid[1..<(grid.count - 1)])
    ]
  }
}
