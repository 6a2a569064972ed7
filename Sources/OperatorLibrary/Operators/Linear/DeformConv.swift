import ONNXGraph
import ONNXTensor

/// Deformable convolution over any number of spatial axes: each tap reads at an offset, linearly interpolated, and may
/// be weighted by a mask. What lies outside the input is zero.
///
/// Opsets 19, 22.
enum DeformConv: Operator {
  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let attributes = try ConvolutionGeometry.Attributes(node)
    let offsetGroups = try node.int("offset_group", default: 1)
    guard offsetGroups >= 1 else { throw OperatorError("attribute 'offset_group' is \(offsetGroups)") }
    return .tensors { inputs, context in
      let x = try inputs[0]
      let w = try inputs[1]
      let offset = try inputs[2]
      let shape = try ConvolutionGeometry(attributes, x: x.shape, w: w.shape)
      let geometry = shape.geometry
      guard shape.inChannels % offsetGroups == 0 else {
        throw OperatorError("\(shape.inChannels) channels are not divisible by offset_group \(offsetGroups)")
      }
      let points = try CheckedSize.multiply(offsetGroups, geometry.kernelCount)
      let coordinates = try CheckedSize.multiply(points, geometry.rank)
      try offset.require(shape: [shape.batch, coordinates] + geometry.output, "the offset")
      let mask = try inputs.optional(4)
      try mask?.require(shape: [shape.batch, points] + geometry.output, "the mask")
      let bias = try inputs.optional(3)
      try bias?.require(shape: [shape.outChannels], "the bias")
      try CheckedSize.check(shape.output, of: x.elementType)
      return try run(try x.elementType.computeType(), x, w, offset, bias, mask, shape, offsetGroups)
    }
  }

  @_specialize(where T == Float)
  private static func run<T: ComputeReal>(
    _ type: T.Type, _ x: Tensor, _ w: Tensor, _ offset: Tensor, _ bias: Tensor?, _ mask: Tensor?,
    _ shape: ConvolutionGeometry, _ offsetGroups: Int
  ) throws -> Tensor {
    let geometry = shape.geometry
    let values = try x.reals(T.self)
    let weights = try w.reals(T.self)
    let offsets = try offset.reals(T.self)
    let masks = try mask?.reals(T.self)
    let biases = try bias?.reals(T.self)
    let plane = extent(geometry.input)
    let outPlane = geometry.outputCount
    let kernelCount = geometry.kernelCount
    let inPerGroup = shape.inChannels / shape.group
    let outPerGroup = shape.outChannels / shape.group
    let perOffsetGroup = shape.inChannels / offsetGroups
    var y = [T](repeating: 0, count: extent(shape.output))
    // sampled[channel][tap]: what the taps read at one output position.
    var sampled = [T](repeating: 0, count: shape.inChannels * kernelCount)
    var position = [Int](repeating: 0, count: geometry.rank)
    var point = [T](repeating: 0, count: geometry.rank)
    guard !y.isEmpty else { return try Tensor(reals: y, as: x.elementType, shape: shape.output) }
    for out in 0..<outPlane {
      for n in 0..<shape.batch {
        for group in 0..<offsetGroups {
          var kernelIndex = [Int](repeating: 0, count: geometry.rank)
          for tap in 0..<kernelCount {
            let tapNumber = (n * offsetGroups + group) * kernelCount + tap
            for axis in 0..<geometry.rank {
              let start =
                position[axis] * geometry.strides[axis] - geometry.padBegin[axis]
                + kernelIndex[axis] * geometry.dilations[axis]
              point[axis] = T(start) + offsets[(tapNumber * geometry.rank + axis) * outPlane + out]
            }
            let factor = masks.map { $0[tapNumber * outPlane + out] } ?? 1
            let corners = interpolationCorners(point, geometry.input)
            for channel in group * perOffsetGroup..<(group + 1) * perOffsetGroup {
              let base = (n * shape.inChannels + channel) * plane
              var sum: T = 0
              for corner in corners { sum += corner.weight * values[base + corner.offset] }
              sampled[channel * kernelCount + tap] = sum * factor
            }
            advance(&kernelIndex, in: geometry.kernel)
          }
        }
        for channel in 0..<shape.outChannels {
          let first = channel / outPerGroup * inPerGroup * kernelCount
          let weight = channel * inPerGroup * kernelCount
          var sum = biases?[channel] ?? 0
          for index in 0..<inPerGroup * kernelCount { sum += sampled[first + index] * weights[weight + index] }
          y[(n * shape.outChannels + channel) * outPlane + out] = sum
        }
      }
      advance(&position, in: geometry.output)
    }
    return try Tensor(reals: y, as: x.elementType, shape: shape.output)
  }

  /// The elements of a plane around `point` with their linear weights; those outside are left out.
  private static func interpolationCorners<T: ComputeReal>(
    _ point: [T], _ input: [Int]
  ) -> [(offset: Int, weight: T)] {
    var corners: [(offset: Int, weight: T)] = [(0, 1)]
    for axis in point.indices {
      guard point[axis] > -1, point[axis] < T(input[axis]) else { return [] }
      let floor = point[axis].rounded(.down)
      let low = Int(floor)
      let fraction = point[axis] - floor
      var next: [(offset: Int, weight: T)] = []
      for (coordinate, weight) in [(low, 1 - fraction), (low + 1, fraction)]
      where coordinate >= 0 && coordinate < input[axis] && weight != 0 {
        for corner in corners { next.append((corner.offset * input[axis] + coordinate, corner.weight * weight)) }
      }
      corners = next
    }
    return corners
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    [
      InferredValue(
        inputs.elementType(0), extents: try Conv.inferExtents(node, x: inputs.extents(0), w: inputs.extents(1)))
    ]
  }

  static func macs(_ node: OperatorNode, inputs: [[Int]?], outputs: [[Int]?]) -> Int {
    Conv.macs(node, inputs: inputs, outputs: outputs)
  }
}
