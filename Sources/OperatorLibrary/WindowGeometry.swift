import ONNXGraph

/// How windows lie over the spatial axes of convolutions and pools. All arithmetic is checked.
package struct WindowGeometry {
  /// The attributes as written.
  package struct Attributes {
    enum AutoPad { case explicit, valid, sameUpper, sameLower }

    package var kernel: [Int]?
    package var strides: [Int]?
    package var dilations: [Int]?
    var pads: [Int]?
    var autoPad: AutoPad
    var ceilMode: Bool

    package init(_ node: OperatorNode) throws {
      kernel = try node.ints("kernel_shape")
      strides = try node.ints("strides")
      dilations = try node.ints("dilations")
      pads = try node.ints("pads")
      ceilMode = try node.bool("ceil_mode", default: false)
      switch try node.string("auto_pad", default: "NOTSET") {
      case "NOTSET", "": autoPad = .explicit
      case "VALID": autoPad = .valid
      case "SAME_UPPER": autoPad = .sameUpper
      case "SAME_LOWER": autoPad = .sameLower
      case let other: throw OperatorError("attribute 'auto_pad' is '\(other)', which ONNX does not know")
      }
      if let bad = kernel?.first(where: { $0 < 1 }) { throw OperatorError("kernel_shape has extent \(bad)") }
      if let bad = strides?.first(where: { $0 < 1 }) { throw OperatorError("strides has value \(bad)") }
      if let bad = dilations?.first(where: { $0 < 1 }) { throw OperatorError("dilations has value \(bad)") }
      if autoPad == .explicit, let bad = pads?.first(where: { $0 < 0 }) {
        throw OperatorError("pads has negative value \(bad)")
      }
    }
  }

  package let input: [Int]
  package let kernel: [Int]
  package let strides: [Int]
  package let dilations: [Int]
  package let padBegin: [Int]
  /// Padding at the end as given or derived; a window of `ceil_mode` may reach beyond it.
  package let padEnd: [Int]
  package let output: [Int]

  var rank: Int { input.count }
  package var kernelCount: Int { extent(kernel) }
  var outputCount: Int { extent(output) }

  /// Lays windows of `kernel` over spatial extents `input`.
  package init(_ attributes: Attributes, input: [Int], kernel: [Int]) throws {
    let rank = input.count
    let strides = attributes.strides ?? Array(repeating: 1, count: rank)
    let dilations = attributes.dilations ?? Array(repeating: 1, count: rank)
    let pads = attributes.pads ?? Array(repeating: 0, count: 2 * rank)
    try Self.check(attributes, rank: rank, kernel: kernel)
    var begin: [Int] = []
    var end: [Int] = []
    var output: [Int] = []
    for axis in 0..<rank {
      let explicit = attributes.autoPad == .explicit
      let result = try Self.axis(
        input: input[axis], kernel: kernel[axis], stride: strides[axis], dilation: dilations[axis],
        pads: explicit ? (pads[axis], pads[rank + axis]) : (0, 0), autoPad: attributes.autoPad,
        ceilMode: attributes.ceilMode)
      begin.append(result.begin)
      end.append(result.end)
      output.append(result.output)
    }
    (self.input, self.kernel, self.strides, self.dilations) = (input, kernel, strides, dilations)
    (padBegin, padEnd, self.output) = (begin, end, output)
    _ = try CheckedSize.product(output)
    _ = try CheckedSize.product(kernel)
  }

  /// Windows that are already laid: for operators with another rule of sizes.
  init(input: [Int], kernel: [Int], strides: [Int], dilations: [Int], padBegin: [Int], padEnd: [Int], output: [Int]) {
    (self.input, self.kernel, self.strides, self.dilations) = (input, kernel, strides, dilations)
    (self.padBegin, self.padEnd, self.output) = (padBegin, padEnd, output)
  }

  static func check(_ attributes: Attributes, rank: Int, kernel: [Int]) throws {
    guard kernel.count == rank else { throw OperatorError("kernel \(kernel) does not fit \(rank) spatial axes") }
    if let declared = attributes.kernel, declared != kernel {
      throw OperatorError("kernel_shape \(declared) does not fit the weights' \(kernel)")
    }
    for (name, list, count) in [
      ("strides", attributes.strides, rank), ("dilations", attributes.dilations, rank),
      ("pads", attributes.autoPad == .explicit ? attributes.pads : nil, 2 * rank),
    ] {
      if let list, list.count != count {
        throw OperatorError("attribute '\(name)' has \(list.count) values, expected \(count)")
      }
    }
    if let bad = kernel.first(where: { $0 < 1 }) { throw OperatorError("the kernel has extent \(bad)") }
  }

  private static func axis(
    input: Int, kernel: Int, stride: Int, dilation: Int, pads: (Int, Int), autoPad: Attributes.AutoPad, ceilMode: Bool
  ) throws -> (begin: Int, end: Int, output: Int) {
    let window = try CheckedSize.add(try CheckedSize.multiply(kernel - 1, dilation), 1)
    switch autoPad {
    case .sameUpper, .sameLower:
      let output = input / stride + (input % stride == 0 ? 0 : 1)
      let covered = try CheckedSize.add(try CheckedSize.multiply(max(output - 1, 0), stride), window)
      let total = max(covered - input, 0)
      let small = total / 2
      return autoPad == .sameUpper ? (small, total - small, output) : (total - small, small, output)
    case .explicit, .valid:
      let padded = try CheckedSize.add(try CheckedSize.add(input, pads.0), pads.1)
      let free = padded - window
      if free < 0 {
        if input == 0 { return (pads.0, pads.1, 0) }
        throw OperatorError("a window of \(window) does not fit the padded extent \(padded)")
      }
      var output = free / stride + 1
      if ceilMode && free % stride != 0 {
        output += 1
        // The last window must start inside the input or the padding before it.
        if (output - 1).multipliedReportingOverflow(by: stride).partialValue >= input + pads.0 { output -= 1 }
      }
      return (pads.0, pads.1, output)
    }
  }

  /// Output extents for inference: unknown where the input is.
  static func inferredOutput(_ attributes: Attributes, input: [Extent], kernel: [Extent]) -> [Extent] {
    let rank = input.count
    guard kernel.count == rank, (attributes.strides?.count ?? rank) == rank,
      (attributes.dilations?.count ?? rank) == rank, (attributes.pads?.count ?? 2 * rank) == 2 * rank
    else { return Array(repeating: .unknown, count: rank) }
    return (0..<rank).map { axis in
      guard let extent = input[axis].known, let size = kernel[axis].known, size >= 1 else { return .unknown }
      let explicit = attributes.autoPad == .explicit
      let pads = explicit ? attributes.pads.map { ($0[axis], $0[rank + axis]) } ?? (0, 0) : (0, 0)
      let result = try? Self.axis(
        input: extent, kernel: size, stride: attributes.strides?[axis] ?? 1,
        dilation: attributes.dilations?[axis] ?? 1, pads: pads, autoPad: attributes.autoPad,
        ceilMode: attributes.ceilMode)
      return result.map { Extent($0.output) } ?? .unknown
    }
  }

  /// The elements of one input plane under the window at output position `position`: pairs of kernel position and
  /// offset in the plane, in the order of the kernel; positions in the padding are left out.
  func taps(at position: [Int], into taps: inout [(kernel: Int, offset: Int)]) {
    taps.removeAll(keepingCapacity: true)
    let planeStrides = rowMajorStrides(input)
    var index = [Int](repeating: 0, count: rank)
    var number = 0
    repeat {
      var offset = 0
      var isInside = true
      for axis in 0..<rank {
        let coordinate = position[axis] * strides[axis] - padBegin[axis] + index[axis] * dilations[axis]
        if coordinate < 0 || coordinate >= input[axis] {
          isInside = false
          break
        }
        offset += coordinate * planeStrides[axis]
      }
      if isInside { taps.append((number, offset)) }
      number += 1
    } while advance(&index, in: kernel)
  }

  /// How many elements of the window at `position` lie inside the input and its padding.
  package func paddedCount(at position: [Int]) -> Int {
    var count = 1
    for axis in 0..<rank {
      let start = position[axis] * strides[axis] - padBegin[axis]
      let end = input[axis] + padEnd[axis]
      // Kernel positions k with start + k * dilation < end.
      let inside = start >= end ? 0 : (end - start - 1) / dilations[axis] + 1
      count *= min(inside, kernel[axis])
    }
    return count
  }
}
