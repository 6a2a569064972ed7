import ONNXGraph
import ONNXTensor
import QuantCore

/// The mean shift of each output channel that rounding the weights causes, from recorded channel means.
///
/// shift[o] = Σ over i and taps of (Ŵ − W)[o, i, tap] · E[x_i] · share[tap]: share is the part of the output positions at
/// which the tap lies inside the input, 1 without padding or where the input's extent is not known. Sums are float64 in
/// the order of the weight.
struct BiasCorrection {
  let node: Node
  /// The shape of the input that all samples had, if they had one.
  let inputShape: [Int]?

  /// nil where the layout is not one of Conv, Gemm or MatMul with a matrix, or the means do not fit.
  func shifts(weight: Tensor, rounded: Tensor, means: [Double]) -> [Double]? {
    switch node.opType {
    case "Conv": convolution(weight, rounded, means)
    case "Gemm":
      node.int("transA") ?? 0 == 0 ? product(weight, rounded, means, isTransposed: node.int("transB") ?? 0 != 0) : nil
    case "MatMul": product(weight, rounded, means, isTransposed: false)
    default: nil
    }
  }

  /// The axis of the input whose indices are channels; negative ones count from the last.
  static func channelAxis(_ node: Node) -> Int? {
    switch node.opType {
    case "Conv": 1
    case "Gemm", "MatMul": -1
    default: nil
    }
  }

  private func product(_ weight: Tensor, _ rounded: Tensor, _ means: [Double], isTransposed: Bool) -> [Double]? {
    guard weight.rank == 2, weight.shape[isTransposed ? 1 : 0] == means.count else { return nil }
    let (rows, columns) = (weight.shape[0], weight.shape[1])
    var shifts = [Double](repeating: 0, count: isTransposed ? rows : columns)
    weight.withElements(Float.self) { exact in
      rounded.withElements(Float.self) { stored in
        for row in 0..<rows {
          for column in 0..<columns {
            let error = Double(stored[row * columns + column]) - Double(exact[row * columns + column])
            if isTransposed { shifts[row] += error * means[column] } else { shifts[column] += error * means[row] }
          }
        }
      }
    }
    return shifts
  }

  private func convolution(_ weight: Tensor, _ rounded: Tensor, _ means: [Double]) -> [Double]? {
    let group = max(node.int("group") ?? 1, 1)
    guard weight.rank >= 3, weight.shape[0] % group == 0, weight.shape[1] * group == means.count else { return nil }
    let (outputs, inputs) = (weight.shape[0], weight.shape[1])
    let shares = tapShares(kernel: Array(weight.shape.dropFirst(2)))
    var shifts = [Double](repeating: 0, count: outputs)
    weight.withElements(Float.self) { exact in
      rounded.withElements(Float.self) { stored in
        var index = 0
        for output in 0..<outputs {
          let first = output / (outputs / group) * inputs
          for input in 0..<inputs {
            for share in shares {
              shifts[output] += (Double(stored[index]) - Double(exact[index])) * means[first + input] * share
              index += 1
            }
          }
        }
      }
    }
    return shifts
  }

  private func tapShares(kernel: [Int]) -> [Double] {
    var shares = [1.0]
    for axis in kernel.indices {
      let along = tapShares(axis: axis, taps: kernel[axis], axes: kernel.count)
      shares = shares.flatMap { share in along.map { share * $0 } }
    }
    return shares
  }

  private func tapShares(axis: Int, taps: Int, axes: Int) -> [Double] {
    let even = [Double](repeating: 1, count: taps)
    guard let inputShape, inputShape.count == axes + 2 else { return even }
    let extent = inputShape[axis + 2]
    func attribute(_ name: String, _ index: Int, _ fallback: Int) -> Int {
      guard let values = node.ints(name), values.indices.contains(index) else { return fallback }
      return values[index]
    }
    let stride = attribute("strides", axis, 1)
    let dilation = attribute("dilations", axis, 1)
    var (begin, end) = (attribute("pads", axis, 0), attribute("pads", axis + axes, 0))
    // A file may hold anything; sizes beyond these are none of a real network.
    let limit = 1 << 20
    guard (1..<limit).contains(stride), (1..<limit).contains(dilation), (0..<limit).contains(extent),
      (-limit..<limit).contains(begin), (-limit..<limit).contains(end), taps < limit
    else { return even }
    let reach = (taps - 1) * dilation + 1
    switch node.string("auto_pad") ?? "NOTSET" {
    case "SAME_UPPER", "SAME_LOWER":
      let total = max(((extent + stride - 1) / stride - 1) * stride + reach - extent, 0)
      begin = node.string("auto_pad") == "SAME_UPPER" ? total / 2 : total - total / 2
      end = total - begin
    case "VALID": (begin, end) = (0, 0)
    default: break
    }
    let positions = (extent + begin + end - reach) / stride + 1
    guard extent + begin + end >= reach, positions > 0 else { return even }
    return (0..<taps).map { tap in
      let inside = (0..<positions).count { (0..<extent).contains($0 * stride - begin + tap * dilation) }
      return Double(inside) / Double(positions)
    }
  }
}
