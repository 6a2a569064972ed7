import IntegerKernels
import ONNXGraph
import ONNXTensor

extension Lowering {
  func wideMaxPool(_ node: Node) throws -> WideForm? {
    guard node.outputs.compactMap({ $0 }).count == 1, (node.int("storage_order") ?? 0) == 0 else { return nil }
    let window = node.opType == "MaxPool" ? try poolAttributes(node) : nil
    guard node.opType == "GlobalMaxPool" || window?.attributes.kernel != nil, let x = try node.input(0).flatMap(wide)
    else { return nil }
    return WideForm(
      slot: emit(node, .integer, [x.slot], WideMaxPoolStep(window)), fraction: x.fraction, low: x.low, high: x.high,
      isQuantized: x.isQuantized)
  }

  /// max(x, 0) + slope · min(x, 0) with a constant slope that is no scalar; scalars are functions.
  func widePRelu(_ node: Node) throws -> WideForm? {
    guard node.opType == "PRelu", let slope = node.input(1), constant(slope) != nil,
      let x = try node.input(0).flatMap(wide), let s = try wide(slope)
    else { return nil }
    let positive = emit(node, .integer, [x.slot], WideClampStep(low: 0, high: .max))
    let negative = emit(node, .integer, [x.slot], WideClampStep(low: .min, high: 0))
    let below = min(x.low, 0)
    let ends = [0, below * s.low, below * s.high]
    guard let low = ends.min(), let high = ends.max(), let fraction = WideForm.fraction(low, high) else { return nil }
    let product = emit(
      node, .integer, [negative, s.slot],
      WideBinaryStep(operation: .multiply, fractions: (x.fraction, s.fraction, fraction)))
    let (least, greatest) = (low, max(x.high, 0) + high)
    guard let sum = WideForm.fraction(least, greatest) else { return nil }
    let step = WideBinaryStep(operation: .add, fractions: (x.fraction, fraction, sum))
    return WideForm(
      slot: emit(node, .integer, [positive, product], step), fraction: sum, low: least, high: greatest,
      isQuantized: x.isQuantized)
  }

  /// Resize by straight lines, where constants give its sizes or scales and these are short quotients.
  func wideResize(_ node: Node) throws -> WideForm? {
    let isUpsample = node.opType == "Upsample"
    let opset = context.opsets[""] ?? 1
    let isOld = isUpsample || opset < 11
    guard ["linear", "bilinear"].contains(node.string("mode") ?? "nearest"), (node.int("antialias") ?? 0) == 0,
      (node.int("exclude_outside") ?? 0) == 0, node.attribute("axes") == nil,
      (node.string("keep_aspect_ratio_policy") ?? "stretch") == "stretch",
      let coordinates = WideResizeStep.Coordinates(
        rawValue: isOld ? "asymmetric" : node.string("coordinate_transformation_mode") ?? "half_pixel")
    else {
      _ = refuse(node, "only linear resizing without antialiasing, axes or exclusion has an integer form")
      return nil
    }
    var step: WideResizeStep?
    if !isOld, let sizes = node.input(3).flatMap({ constant($0) })?.integers, !sizes.isEmpty {
      step = WideResizeStep(coordinates, sizes: sizes, scales: [])
    } else if let scales = node.input(isOld ? 1 : 2).flatMap({ constant($0) })?.floats, !scales.isEmpty {
      let quotients = scales.compactMap(Self.quotient)
      if quotients.count == scales.count { step = WideResizeStep(coordinates, sizes: nil, scales: quotients) }
    }
    guard let step else {
      _ = refuse(node, "its sizes or scales are computed, or no quotients of integers up to 64")
      return nil
    }
    guard let x = try node.input(0).flatMap(wide) else { return nil }
    return WideForm(
      slot: emit(node, .integer, [x.slot], step), fraction: x.fraction, low: x.low, high: x.high,
      isQuantized: x.isQuantized)
  }

  /// A scale as the quotient of two integers that is this float.
  private static func quotient(_ scale: Float) -> (over: Int, under: Int)? {
    for under in 1...64 {
      let over = (scale * Float(under)).rounded()
      if over >= 1, over <= 4096, Float(over) / Float(under) == scale { return (Int(over), under) }
    }
    return nil
  }
}
