import ONNXTensor

/// Counts of the n-grams of a pool in each row, also of n-grams with skipped tokens, weighted by `mode`. Opset 9.
///
/// Weights belong to output columns, as engines have it.
package enum TfIdfVectorizer: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let table = try NgramTable(node)
    return .tensors { inputs, _ in
      let x = try inputs[0]
      guard x.rank <= 2 else { throw OperatorError("the input has rank \(x.rank)") }
      let tokens = try table.tokens(x)
      let rows = x.rank == 2 ? x.shape[0] : 1
      let length = rows == 0 ? 0 : tokens.count / rows
      try ShapeArithmetic.check([rows, table.columns], .float32)
      var counts = [Float](repeating: 0, count: rows * table.columns)
      for row in 0..<rows {
        table.count(tokens[row * length..<(row + 1) * length]) { counts[row * table.columns + $0] += 1 }
      }
      table.weigh(&counts)
      return Tensor(counts, shape: x.rank == 2 ? [rows, table.columns] : [table.columns])
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    guard let dims = ShapeInference.input(inputs, 0)?.dimensions else { return [.tensor(.float32, dimensions: nil)] }
    let columns = Dimension.known(try NgramTable(node).columns)
    return [.tensor(.float32, dimensions: dims.count == 2 ? [dims[0], columns] : [columns])]
  }
}

private struct NgramTable {
  let columns: Int
  private let mode: String
  private let shortest: Int
  private let longest: Int
  private let skips: Int
  private let weights: [Float]
  /// Strings of the pool by number; nil for a pool of integers.
  private let words: [[UInt8]: Int]?
  /// Output column of each n-gram.
  private var grams: [[Int]: Int] = [:]

  init(_ node: OperatorNode) throws {
    mode = try node.string("mode", default: "")
    guard ["TF", "IDF", "TFIDF"].contains(mode) else { throw OperatorError("attribute 'mode' is '\(mode)'") }
    shortest = try node.int("min_gram_length", default: 1)
    longest = try node.int("max_gram_length", default: 1)
    skips = try node.int("max_skip_count", default: 0)
    guard shortest >= 1, longest >= shortest, skips >= 0 else {
      throw OperatorError("n-grams of lengths \(shortest) to \(longest) with \(skips) skips make no sense")
    }
    weights = try node.floats("weights") ?? []
    let columnsOfGrams = try node.ints("ngram_indexes") ?? []
    guard let last = columnsOfGrams.max(), columnsOfGrams.allSatisfy({ (0..<1 << 31).contains($0) }) else {
      throw OperatorError("attribute 'ngram_indexes' is empty or holds negative columns")
    }
    columns = last + 1
    let pool: [Int]
    if let strings = try node.strings("pool_strings"), !strings.isEmpty {
      var words: [[UInt8]: Int] = [:]
      pool = strings.map { word in
        if let number = words[word] { return number }
        words[word] = words.count
        return words.count - 1
      }
      self.words = words
    } else {
      pool = try node.ints("pool_int64s") ?? []
      words = nil
    }
    let starts = try node.ints("ngram_counts") ?? []
    var gram = 0
    for (index, start) in starts.enumerated() {
      let end = index + 1 < starts.count ? starts[index + 1] : pool.count
      guard start >= 0, start <= end, end <= pool.count else {
        throw OperatorError("attribute 'ngram_counts' does not fit a pool of \(pool.count)")
      }
      let size = index + 1
      for place in stride(from: start, to: end - size + 1, by: size) {
        guard gram < columnsOfGrams.count else { throw OperatorError("attribute 'ngram_indexes' is too short") }
        if (shortest...longest).contains(size) { grams[Array(pool[place..<place + size])] = columnsOfGrams[gram] }
        gram += 1
      }
    }
  }

  /// Tokens as numbers; words outside the pool as -1.
  func tokens(_ x: Tensor) throws -> [Int] {
    guard let words else { return try x.integers("the input") }
    guard let strings = x.strings else { throw OperatorError("the input is not strings") }
    return strings.map { words[$0] ?? -1 }
  }

  func count(_ row: ArraySlice<Int>, _ found: (Int) -> Void) {
    // Distances past the row find nothing.
    for distance in 1...max(1, min(skips, row.count) + 1) {
      for size in shortest...longest {
        // Single tokens have no distance.
        if size == 1 && distance > 1 { continue }
        let (span, overflow) = (size - 1).multipliedReportingOverflow(by: distance)
        if overflow || span >= row.count { break }
        for start in row.startIndex..<row.endIndex - span {
          let gram = (0..<size).map { row[start + $0 * distance] }
          if let column = grams[gram] { found(column) }
        }
      }
    }
  }

  func weigh(_ counts: inout [Float]) {
    for index in counts.indices {
      let column = index % columns
      let weight = column < weights.count ? weights[column] : 1
      switch mode {
      case "IDF": counts[index] = counts[index] > 0 ? weight : 0
      case "TFIDF": counts[index] *= weight
      default: break
      }
    }
  }
}
