import ONNXGraph
import ONNXTensor

/// The boxes of each class that no better box of the class overlaps too much. Opsets 10, 11.
enum NonMaxSuppression: Operator {
  private struct Box {
    var y: (low: Float, high: Float)
    var x: (low: Float, high: Float)
    var area: Float { (y.high - y.low) * (x.high - x.low) }

    init(_ numbers: ArraySlice<Float>, isCentred: Bool) {
      let n = Array(numbers)
      if isCentred {
        (x, y) = ((n[0] - n[2] / 2, n[0] + n[2] / 2), (n[1] - n[3] / 2, n[1] + n[3] / 2))
      } else {
        (y, x) = ((min(n[0], n[2]), max(n[0], n[2])), (min(n[1], n[3]), max(n[1], n[3])))
      }
    }

    /// Intersection over union.
    func overlap(_ other: Box) -> Float {
      let width = min(x.high, other.x.high) - max(x.low, other.x.low)
      let height = min(y.high, other.y.high) - max(y.low, other.y.low)
      guard width > 0, height > 0, area > 0, other.area > 0 else { return 0 }
      let shared = width * height
      let union = area + other.area - shared
      return union > 0 ? shared / union : 0
    }
  }

  static func prepare(_ node: OperatorNode) throws -> Kernel {
    let isCentred = try node.bool("center_point_box", default: false)
    return .tensors { inputs, context in
      let boxes = try inputs[0]
      let scores = try inputs[1]
      guard boxes.rank == 3, boxes.shape[2] == 4, scores.rank == 3, scores.shape[0] == boxes.shape[0],
        scores.shape[2] == boxes.shape[1]
      else { throw OperatorError("boxes \(boxes.shape) and scores \(scores.shape) do not fit together") }
      let limit = try inputs.optional(2).flatMap { $0.count == 0 ? nil : try $0.scalarInteger("the number of boxes") }
      let overlap = try inputs.optional(3).flatMap {
        $0.count == 0 ? nil : try $0.scalarReal("the overlap threshold", as: Float.self)
      }
      let threshold = try inputs.optional(4).flatMap {
        $0.count == 0 ? nil : try $0.scalarReal("the score threshold", as: Float.self)
      }
      let numbers = try boxes.reals(Float.self)
      let values = try scores.reals(Float.self)
      let (classes, count) = (scores.shape[1], scores.shape[2])
      var selected: [Int64] = []
      for batch in 0..<boxes.shape[0] {
        let all = (0..<count).map { index in
          let start = (batch * count + index) * 4
          return Box(numbers[start..<start + 4], isCentred: isCentred)
        }
        for kind in 0..<classes {
          let start = (batch * classes + kind) * count
          let candidates = (0..<count).filter {
            values[start + $0] > threshold ?? -.infinity || (threshold == nil && !values[start + $0].isNaN)
          }
          .sorted { (-values[start + $0], $0) < (-values[start + $1], $1) }
          var kept: [Int] = []
          for candidate in candidates {
            if kept.count >= max(limit ?? 0, 0) { break }
            if kept.allSatisfy({ !(all[candidate].overlap(all[$0]) > overlap ?? 0) }) { kept.append(candidate) }
          }
          for index in kept { selected += [Int64(batch), Int64(kind), Int64(index)] }
        }
      }
      return Tensor(selected, shape: [selected.count / 3, 3])
    }
  }

  static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    [InferredValue(.int64, extents: [.unknown, Extent(3)])]
  }
}
