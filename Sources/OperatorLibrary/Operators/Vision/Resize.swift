import ONNXGraph
import ONNXTensor

/// Resampling of any axes: nearest, linear or cubic, each axis by itself.
///
/// Opsets 10 (asymmetric coordinates, nearest by rounding down), 11, 13, 18, 19. Sizes from `scales` are products in
/// float32, rounded down, as ONNX's shape inference computes them.
enum Resize: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let resampler = try Resampler(node)
    let hasRoi = node.opset >= 11
    return .tensors { inputs, context in
      let x = try inputs[0]
      let roi = hasRoi ? try inputs.optional(1) : nil
      let scales = try inputs.optional(hasRoi ? 2 : 1)
      let sizes = hasRoi ? try inputs.optional(3) : nil
      let target = try resampler.target(
        shape: x.shape, scales: scales.flatMap { $0.count == 0 ? nil : $0.floats },
        sizes: sizes.flatMap { $0.count == 0 ? nil : $0.integers }, roi: roi?.floats)
      return try resampler.run(x, target, context)
    }
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    let hasRoi = node.opset >= 11
    return [
      try Resampler(node).infer(
        inputs, scales: inputs.constant(hasRoi ? 2 : 1), sizes: hasRoi ? inputs.constant(3) : nil,
        roi: hasRoi ? inputs.constant(1) : nil)
    ]
  }

  static var quantization: QuantizationTraits { .unary }
}

/// The older form of `Resize`: asymmetric coordinates, nearest by rounding down, or linear.
///
/// Opsets 1 (`height_scale`, `width_scale`), 7 (`scales`), 9 and 10 (scales as an input).
enum Upsample: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let resampler = try Resampler(node)
    let fixed = try attributeScales(node)
    return .tensors { inputs, context in
      let x = try inputs[0]
      let scales = try fixed ?? inputs[1].reals(Float.self)
      return try resampler.run(
        x, try resampler.target(shape: x.shape, scales: scales, sizes: nil, roi: nil), context)
    }
  }

  private static func attributeScales(_ node: OperatorNode) throws -> [Float]? {
    if node.opset >= 9 { return nil }
    if let scales = try node.floats("scales") { return scales }
    guard let height = try node.float("height_scale"), let width = try node.float("width_scale") else {
      throw OperatorError("attribute 'scales' is missing")
    }
    return [1, 1, height, width]
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    let fixed = try attributeScales(node).map { Tensor($0, shape: [$0.count]) }
    return [try Resampler(node).infer(inputs, scales: fixed ?? inputs.constant(1), sizes: nil, roi: nil)]
  }

  static var quantization: QuantizationTraits { .unary }
}

/// The attributes of `Resize`, and the resampling itself.
private struct Resampler {
  enum Mode { case nearest, linear, cubic }
  enum Coordinates {
    case halfPixel, halfPixelSymmetric, pytorchHalfPixel, alignCorners, asymmetric, tfCropAndResize, tfHalfPixelForNN
  }
  enum Rounding { case preferFloor, preferCeil, floor, ceil }
  enum AspectPolicy { case stretch, notLarger, notSmaller }

  var mode: Mode
  var coordinates: Coordinates
  var rounding: Rounding
  var policy: AspectPolicy
  var isAntialiased: Bool
  var cubicCoefficient: Double
  var excludesOutside: Bool
  var extrapolation: Double
  var axes: [Int]?

  init(_ node: OperatorNode) throws {
    let isOld = node.node.opType == "Upsample" || node.opset < 11
    switch try node.string("mode", default: "nearest") {
    case "nearest": mode = .nearest
    case "linear", "bilinear": mode = .linear
    case "cubic": mode = .cubic
    case let other: throw OperatorError("attribute 'mode' is '\(other)'")
    }
    switch isOld ? "asymmetric" : try node.string("coordinate_transformation_mode", default: "half_pixel") {
    case "half_pixel": coordinates = .halfPixel
    case "half_pixel_symmetric": coordinates = .halfPixelSymmetric
    case "pytorch_half_pixel": coordinates = .pytorchHalfPixel
    case "align_corners": coordinates = .alignCorners
    case "asymmetric": coordinates = .asymmetric
    case "tf_crop_and_resize": coordinates = .tfCropAndResize
    case "tf_half_pixel_for_nn": coordinates = .tfHalfPixelForNN
    case let other: throw OperatorError("attribute 'coordinate_transformation_mode' is '\(other)'")
    }
    switch isOld ? "floor" : try node.string("nearest_mode", default: "round_prefer_floor") {
    case "round_prefer_floor": rounding = .preferFloor
    case "round_prefer_ceil": rounding = .preferCeil
    case "floor": rounding = .floor
    case "ceil": rounding = .ceil
    case let other: throw OperatorError("attribute 'nearest_mode' is '\(other)'")
    }
    switch try node.string("keep_aspect_ratio_policy", default: "stretch") {
    case "stretch": policy = .stretch
    case "not_larger": policy = .notLarger
    case "not_smaller": policy = .notSmaller
    case let other: throw OperatorError("attribute 'keep_aspect_ratio_policy' is '\(other)'")
    }
    isAntialiased = try node.bool("antialias", default: false)
    cubicCoefficient = Double(try node.float("cubic_coeff_a", default: -0.75))
    excludesOutside = try node.bool("exclude_outside", default: false)
    extrapolation = Double(try node.float("extrapolation_value", default: 0))
    axes = try node.ints("axes")
    if isAntialiased && mode == .nearest { throw OperatorError("antialias does not go with mode 'nearest'") }
  }

  /// What becomes of one axis.
  struct Axis {
    var input: Int
    var output: Int
    var scale: Double
    var roi: (start: Double, end: Double)
  }

  func target(shape: [Int], scales: [Float]?, sizes: [Int]?, roi: [Float]?) throws -> [Axis] {
    let axes = try (self.axes ?? Array(shape.indices)).map { try CheckedSize.axis($0, rank: shape.count) }
    guard Set(axes).count == axes.count else { throw OperatorError("attribute 'axes' repeats an axis") }
    var result = shape.map { Axis(input: $0, output: $0, scale: 1, roi: (0, 1)) }
    if coordinates == .tfCropAndResize {
      guard let roi, roi.count == 2 * axes.count, roi.allSatisfy(\.isFinite) else {
        throw OperatorError("'tf_crop_and_resize' needs a region of \(2 * axes.count) numbers")
      }
      for (number, axis) in axes.enumerated() {
        result[axis].roi = (Double(roi[number]), Double(roi[axes.count + number]))
      }
    }
    if let scales {
      guard scales.count == axes.count, scales.allSatisfy({ $0 > 0 && $0.isFinite }) else {
        throw OperatorError("scales \(scales) do not fit \(axes.count) axes")
      }
      for (axis, scale) in zip(axes, scales) {
        let part = coordinates == .tfCropAndResize ? Float(result[axis].roi.end - result[axis].roi.start) : 1
        let output = (Float(shape[axis]) * part * scale).rounded(.down)
        guard output >= 0, output < 1e15 else { throw OperatorError("scale \(scale) gives an extent of \(output)") }
        (result[axis].scale, result[axis].output) = (Double(scale), Int(output))
      }
    } else if let sizes {
      guard sizes.count == axes.count, sizes.allSatisfy({ $0 >= 0 }) else {
        throw OperatorError("sizes \(sizes) do not fit \(axes.count) axes")
      }
      for (axis, size) in zip(axes, sizes) {
        (result[axis].output, result[axis].scale) = (size, Double(size) / Double(max(shape[axis], 1)))
      }
      if policy != .stretch, !axes.isEmpty {
        let all = axes.map { result[$0].scale }
        let scale = (policy == .notLarger ? all.min() : all.max()) ?? 1
        for axis in axes {
          let output = (scale * Double(shape[axis]) + 0.5).rounded(.down)
          guard output < 1e15 else { throw OperatorError("sizes \(sizes) give an extent of \(output)") }
          (result[axis].scale, result[axis].output) = (scale, Int(output))
        }
      }
    } else {
      throw OperatorError("neither scales nor sizes are given")
    }
    for axis in result where axis.input == 0 && axis.output > 0 {
      throw OperatorError("an empty axis cannot be resized to \(axis.output)")
    }
    try CheckedSize.check(result.map(\.output), of: .float64)
    return result
  }

  func infer(
    _ inputs: [InferredValue?], scales: Tensor?, sizes: Tensor?, roi: Tensor?
  ) throws -> InferredValue? {
    let type = inputs.elementType(0)
    guard let x = inputs.extents(0) else { return InferredValue(type, extents: nil) }
    let axes = try (self.axes ?? Array(x.indices)).map { try CheckedSize.axis($0, rank: x.count) }
    let scales = scales.flatMap { $0.count == 0 ? nil : $0.floats }
    let sizes = sizes.flatMap { $0.count == 0 ? nil : $0.integers }
    let unknown = InferredValue(type, extents: x.indices.map { axes.contains($0) ? .unknown : x[$0] })
    guard scales != nil || sizes != nil else { return unknown }
    let shape = x.map { $0.known ?? 1 }
    guard let known = try? target(shape: shape, scales: scales, sizes: sizes, roi: roi?.floats) else { return unknown }
    return InferredValue(
      type,
      extents: x.indices.map { axis in
        if !axes.contains(axis) { return x[axis] }
        let isFixed = sizes != nil && policy == .stretch
        if isFixed || x.allSatisfy({ $0.known != nil }) || (scales != nil && x[axis].known != nil) {
          return Extent(known[axis].output)
        }
        return scales != nil && known[axis].scale == 1 ? x[axis] : .unknown
      })
  }

  func run(_ x: Tensor, _ axes: [Axis], _ context: EvaluationContext) throws -> Tensor {
    let maps = axes.map { axis -> AxisMap? in
      let isWhole = coordinates != .tfCropAndResize || axis.roi == (0, 1)
      return axis.output == axis.input && abs(axis.scale - 1) < 1e-9 && isWhole ? nil : map(axis)
    }
    if maps.allSatisfy({ $0 == nil }) { return x }
    let isPlainGather = mode == .nearest && maps.allSatisfy { $0?.outside.contains(true) != true }
    if isPlainGather {
      let strides = rowMajorStrides(x.shape)
      let tables = axes.indices.map { axis in
        maps[axis].map { $0.indices.map { $0 * strides[axis] } }
          ?? OffsetGather.axis(count: axes[axis].input, stride: strides[axis])
      }
      return try OffsetGather(tables: tables)(x, context)
    }
    if x.elementType == .float32 || x.elementType == .float16 || x.elementType == .bfloat16 {
      return try Tensor(
        reals: interpolate(try x.reals(Float.self), x.shape, maps), as: x.elementType, shape: axes.map(\.output))
    }
    let values = interpolate(try x.reals(Double.self), x.shape, maps)
    let shape = axes.map(\.output)
    if x.elementType == .float64 { return Tensor(values, shape: shape) }
    return try saturated(values, as: x.elementType, shape: shape)
  }

  /// For each output index: `taps` input indices and weights, and whether it lies outside a cropped region.
  struct AxisMap {
    var taps: Int
    var indices: [Int]
    var weights: [Double]
    var outside: [Bool]
  }

  private func map(_ axis: Axis) -> AxisMap {
    let last = Double(axis.input - 1)
    let real = axis.scale * Double(axis.input)
    let reach = isAntialiased ? min(axis.scale, 1) : 1
    // Half of the window, in input elements: 1 for linear, 2 for cubic, stretched by antialiasing.
    let radius = mode == .cubic ? 2.0 : 1.0
    let start = mode == .nearest ? 0 : Int((-radius / max(reach, 1e-9)).rounded(.down)) + 1
    let taps = mode == .nearest ? 1 : 2 - 2 * start
    var result = AxisMap(taps: taps, indices: [], weights: [], outside: [])
    for index in 0..<axis.output {
      let raw = coordinate(Double(index), axis, real: real)
      let x = raw.isNaN ? 0 : min(max(raw, -1e15), 1e15)
      result.outside.append(coordinates == .tfCropAndResize && (x < 0 || x > last))
      if mode == .nearest {
        let nearest =
          switch rounding {
          case .preferFloor: (x - 0.5).rounded(.up)
          case .preferCeil: (x + 0.5).rounded(.down)
          case .floor: x.rounded(.down)
          case .ceil: x.rounded(.up)
          }
        result.indices.append(Int(min(max(nearest, 0), last)))
        result.weights.append(1)
        continue
      }
      let floor = x.rounded(.down)
      // The neighbour on the left is preferred: the fraction lies in (0, 1].
      let base = floor == x ? floor - 1 : floor
      let fraction = x - base
      var weights = (0..<taps).map { weight(abs(Double(start + $0) - fraction) * reach) }
      let positions = (0..<taps).map { base + Double(start + $0) }
      if excludesOutside { for tap in 0..<taps where positions[tap] < 0 || positions[tap] > last { weights[tap] = 0 } }
      if excludesOutside || isAntialiased {
        let sum = weights.reduce(0, +)
        if sum != 0 { weights = weights.map { $0 / sum } }
      }
      result.indices += positions.map { Int(min(max($0, 0), last)) }
      result.weights += weights
    }
    return result
  }

  private func coordinate(_ y: Double, _ axis: Axis, real: Double) -> Double {
    let last = Double(axis.input - 1)
    switch coordinates {
    case .halfPixel: return (y + 0.5) / axis.scale - 0.5
    case .halfPixelSymmetric:
      let adjustment = Double(axis.output) / real
      return Double(axis.input) / 2 * (1 - adjustment) + (y + 0.5) / axis.scale - 0.5
    case .pytorchHalfPixel: return real == 1 ? -0.5 : (y + 0.5) / axis.scale - 0.5
    case .alignCorners: return real == 1 ? 0 : y * last / (real - 1)
    case .asymmetric: return y / axis.scale
    case .tfHalfPixelForNN: return (y + 0.5) / axis.scale
    case .tfCropAndResize:
      let size = axis.roi.end - axis.roi.start
      let inner = real == 1 ? size * last / 2 : y * size * last / (real - 1)
      return inner + axis.roi.start * last
    }
  }

  /// The kernel at a distance.
  private func weight(_ distance: Double) -> Double {
    if mode == .linear { return max(0, 1 - distance) }
    let a = cubicCoefficient
    if distance <= 1 { return ((a + 2) * distance - (a + 3)) * distance * distance + 1 }
    if distance < 2 { return ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a }
    return 0
  }

  /// One pass for each axis that changes.
  private func interpolate<T: ComputeReal>(_ x: [T], _ shape: [Int], _ maps: [AxisMap?]) -> [T] {
    var values = x
    var shape = shape
    for (axis, map) in maps.enumerated() {
      guard let map else { continue }
      let outer = extent(shape[..<axis])
      let inner = extent(shape[(axis + 1)...])
      let count = shape[axis]
      let output = map.outside.count
      var next = [T](repeating: 0, count: outer * output * inner)
      let weights = map.weights.map { T($0) }
      values.withUnsafeBufferPointer { values in
        next.withUnsafeMutableBufferPointer { next in
          for o in 0..<outer {
            for index in 0..<output {
              let target = (o * output + index) * inner
              if map.outside[index] {
                for i in 0..<inner { next[target + i] = T(extrapolation) }
                continue
              }
              for tap in index * map.taps..<(index + 1) * map.taps where weights[tap] != 0 {
                let source = (o * count + map.indices[tap]) * inner
                let weight = weights[tap]
                for i in 0..<inner { next[target + i] += weight * values[source + i] }
              }
            }
          }
        }
      }
      values = next
      shape[axis] = output
    }
    return values
  }

  /// Rounds half to even and saturates.
  private func saturated(_ values: [Double], as type: ElementType, shape: [Int]) throws -> Tensor {
    func round<T: FixedWidthInteger & TensorElement>(_ type: T.Type) -> Tensor {
      Tensor(
        values.map { value -> T in
          if value.isNaN { return 0 }
          return T(exactly: value.rounded(.toNearestOrEven)) ?? (value < 0 ? T.min : T.max)
        }, shape: shape)
    }
    switch type {
    case .uint8: return round(UInt8.self)
    case .int8: return round(Int8.self)
    case .uint16: return round(UInt16.self)
    case .int16: return round(Int16.self)
    case .int32: return round(Int32.self)
    case .uint32: return round(UInt32.self)
    case .int64: return round(Int64.self)
    case .uint64: return round(UInt64.self)
    case .bool: return Tensor(values.map { $0 != 0 }, shape: shape)
    default: throw OperatorError("type \(type.name) cannot be interpolated")
    }
  }
}
