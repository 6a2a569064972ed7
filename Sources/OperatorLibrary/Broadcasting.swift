import ONNXTensor

/// NumPy's rules for combining tensors of different shapes.
enum Broadcasting {
  /// The shape that all `shapes` broadcast to.
  static func shape(_ shapes: [[Int]]) throws -> [Int] {
    var result: [Int] = []
    for shape in shapes {
      if shape.count > result.count { result.insert(contentsOf: shape.prefix(shape.count - result.count), at: 0) }
      let offset = result.count - shape.count
      for (index, extent) in shape.enumerated() where extent != result[offset + index] {
        if result[offset + index] == 1 {
          result[offset + index] = extent
        } else if extent != 1 {
          throw OperatorError(
            "shapes cannot be broadcast together: \(shapes.map(\.description).joined(separator: ", "))")
        }
      }
    }
    return result
  }

  /// Whether `shape` broadcasts to `target` without changing it.
  static func isUnidirectional(_ shape: [Int], to target: [Int]) -> Bool {
    (try? Self.shape([shape, target])) == target
  }
}

/// A loop over the elements of broadcast tensors: dimensions merged where the strides of all inputs allow it.
///
/// The innermost dimension is a run on which every input either advances by one or stands still.
struct BroadcastLoop {
  /// Shape of the result.
  let shape: [Int]
  let count: Int
  /// Merged dimensions around the run, outermost first, and for each input its strides in elements.
  private(set) var outer: [Int] = []
  private(set) var outerStrides: [[Int]]
  /// Elements of the run, and for each input its step: 0 or 1.
  private(set) var inner = 1
  private(set) var steps: [Int]

  init(_ shapes: [[Int]], result type: ElementType) throws {
    shape = try Broadcasting.shape(shapes)
    count = try ShapeArithmetic.check(shape, type)
    let rank = shape.count
    var dims: [Int] = []
    var strides: [[Int]] = []
    for index in 0..<rank where shape[index] != 1 {
      dims.append(shape[index])
      strides.append(
        shapes.map { input in
          let position = index - (rank - input.count)
          guard position >= 0, input[position] != 1 else { return 0 }
          return input[(position + 1)...].reduce(1, &*)
        })
    }
    // Merge from the inside: (outer, inner) is one dimension where every input steps alike.
    var merged: [(Int, [Int])] = []
    for index in dims.indices.reversed() {
      if let (extent, inside) = merged.last, zip(strides[index], inside).allSatisfy({ $0 == $1 &* extent }) {
        merged[merged.count - 1] = (extent &* dims[index], inside)
      } else {
        merged.append((dims[index], strides[index]))
      }
    }
    steps = shapes.map { _ in 0 }
    outerStrides = shapes.map { _ in [] }
    guard !merged.isEmpty else { return }
    if merged[0].1.allSatisfy({ $0 == 0 || $0 == 1 }) {
      inner = merged[0].0
      steps = merged[0].1
      merged.removeFirst()
    }
    for (extent, inside) in merged.reversed() {
      outer.append(extent)
      for index in shapes.indices { outerStrides[index].append(inside[index]) }
    }
  }

  /// Element offset of an input at an index of the outermost dimensions.
  func offset(_ index: [Int], _ input: Int) -> Int {
    zip(index, outerStrides[input]).reduce(0) { $0 &+ $1.0 &* $1.1 }
  }

  /// Runs of `inner` elements.
  var runs: Int { inner == 0 ? 0 : count / inner }

  /// Calls `body` with the offsets of two inputs at the start of each run; run k begins at output element k * inner.
  @inline(__always)
  func forEachRun(_ body: (_ out: Int, _ first: Int, _ second: Int) throws -> Void) rethrows {
    guard count > 0 else { return }
    let depth = outer.count
    if depth == 0 { return try body(0, 0, 0) }
    let first = outerStrides[0]
    let second = outerStrides.count > 1 ? outerStrides[1] : first
    var index = [Int](repeating: 0, count: depth)
    var (a, b, out) = (0, 0, 0)
    while true {
      try body(out, a, b)
      out += inner
      var axis = depth - 1
      while true {
        index[axis] += 1
        a &+= first[axis]
        b &+= second[axis]
        if index[axis] < outer[axis] { break }
        a &-= first[axis] &* outer[axis]
        b &-= second[axis] &* outer[axis]
        index[axis] = 0
        if axis == 0 { return }
        axis -= 1
      }
    }
  }

  /// The element offsets of any number of inputs at the start of each run.
  func forEachRunOfAll(_ body: (_ out: Int, _ offsets: [Int]) throws -> Void) rethrows {
    guard count > 0 else { return }
    var index = [Int](repeating: 0, count: outer.count)
    for run in 0..<runs {
      try body(run * inner, steps.indices.map { offset(index, $0) })
      for axis in outer.indices.reversed() {
        index[axis] += 1
        if index[axis] < outer[axis] { break }
        index[axis] = 0
      }
    }
  }

  /// `out[i] = op(a[i], b[i])` over a loop of two inputs.
  @inline(__always)
  func map<A, B, R>(
    _ a: UnsafeBufferPointer<A>, _ b: UnsafeBufferPointer<B>, into out: UnsafeMutableBufferPointer<R>,
    _ op: (A, B) -> R
  ) {
    guard count > 0, let a = a.baseAddress, let b = b.baseAddress, let out = out.baseAddress else { return }
    let inner = inner
    switch (steps[0], steps[1]) {
    case (1, 1):
      forEachRun { o, i, j in
        let (x, y, z) = (a + i, b + j, out + o)
        for k in 0..<inner { z[k] = op(x[k], y[k]) }
      }
    case (1, _):
      forEachRun { o, i, j in
        let (x, y, z) = (a + i, b[j], out + o)
        for k in 0..<inner { z[k] = op(x[k], y) }
      }
    case (_, 1):
      forEachRun { o, i, j in
        let (x, y, z) = (a[i], b + j, out + o)
        for k in 0..<inner { z[k] = op(x, y[k]) }
      }
    default:
      forEachRun { o, i, j in
        let value = op(a[i], b[j])
        for k in 0..<inner { out[o + k] = value }
      }
    }
  }
}
