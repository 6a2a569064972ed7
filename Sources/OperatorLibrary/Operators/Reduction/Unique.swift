import ONNXTensor

/// The different elements (on `axis`: the different slices), where each first stands, which one each element is, and how
/// often each occurs. Sorted, or in the order of first occurrence. Opsets 11–28.
package enum Unique: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let attribute = try node.int("axis")
    let isSorted = try node.bool("sorted", default: true)
    return Kernel { values, context in
      var x = try TensorInputs(values)[0]
      if attribute == nil { x = x.reshaped([x.count]) }
      let axis = try ShapeArithmetic.axis(attribute ?? 0, rank: x.rank)
      let count = x.shape[axis]
      let ranks = try x.elementType == .string ? stringRanks(x) : Ranks()(x)
      // Slices as rows of ranks.
      let (outer, _, inner) = ShapeArithmetic.split(x.shape, at: axis)
      func rank(_ slice: Int, _ position: Int) -> Int {
        ranks[(position / max(inner, 1) * count + slice) * inner + position % max(inner, 1)]
      }
      func order(_ a: Int, _ b: Int) -> Int {
        for position in 0..<outer * inner {
          let (left, right) = (rank(a, position), rank(b, position))
          if left != right { return left < right ? -1 : 1 }
        }
        return 0
      }
      let sorted = (0..<count).sorted {
        let order = order($0, $1)
        return order == 0 ? $0 < $1 : order < 0
      }
      var groups: [[Int]] = []
      for slice in sorted {
        if let last = groups.last?.first, order(last, slice) == 0 {
          groups[groups.count - 1].append(slice)
        } else {
          groups.append([slice])
        }
      }
      if !isSorted { groups.sort { $0[0] < $1[0] } }
      var inverse = [Int64](repeating: 0, count: count)
      for (index, group) in groups.enumerated() { for slice in group { inverse[slice] = Int64(index) } }
      let first = groups.map { $0[0] }
      let unique = try DenseElements.apply(x) { $0.taking(first, axis: axis, as: [first.count], pool: context.pool) }
      return [
        .tensor(unique), .tensor(Tensor(first.map(Int64.init), shape: [first.count])),
        .tensor(Tensor(inverse, shape: [count])),
        .tensor(Tensor(groups.map { Int64($0.count) }, shape: [groups.count])),
      ]
    }
  }

  /// For each element a number that orders as the elements do.
  private struct Ranks: NumericVisitor {
    func visit<T: TensorElement & Comparable & Numeric>(_ type: T.Type, _ x: Tensor) -> [Int] {
      x.withElements(T.self) { source in
        let order = source.indices.sorted { isBelow(source[$0], source[$1]) }
        var ranks = [Int](repeating: 0, count: source.count)
        var rank = 0
        for (index, position) in order.enumerated() {
          if index > 0, isBelow(source[order[index - 1]], source[position]) { rank += 1 }
          ranks[position] = rank
        }
        return ranks
      }
    }
  }

  private static func stringRanks(_ x: Tensor) -> [Int] {
    let strings = x.strings ?? []
    let sorted = Array(Set(strings)).sorted { $0.lexicographicallyPrecedes($1) }
    let ranks = Dictionary(zip(sorted, sorted.indices)) { first, _ in first }
    return strings.map { ranks[$0] ?? 0 }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    let x = ShapeInference.input(inputs, 0)
    let vector = InferredValue.tensor(.int64, dimensions: [.unknown])
    var dims: [Dimension]? = [.unknown]
    if let axis = try node.int("axis") {
      dims = x?.dimensions
      if let rank = dims?.count { dims?[try ShapeArithmetic.axis(axis, rank: rank)] = .unknown }
    }
    return [.tensor(x?.elementType, dimensions: dims), vector, vector, vector]
  }
}
