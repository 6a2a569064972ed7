import FloatKernels
import ONNXGraph
import ONNXTensor
import OperatorLibrary

extension Lowering {
  /// A function of one fixed-point value, of any number of nodes and scalar constants, as straight lines between points
  /// where the operators' own float results are taken.
  func wideFunction(_ value: Value, _ node: Node) throws -> WideForm? {
    guard let region = functionRegion(value), let x = try wide(region.leaf) else { return nil }
    func evaluate(_ points: [Double]) -> [Double]? {
      var values: [Value: RuntimeValue] = [
        region.leaf: .tensor(Tensor(points.map { Float($0) }, shape: [points.count]))
      ]
      for node in region.nodes {
        let known = node.inputs.map { $0.flatMap { values[$0] == nil ? constant($0) : nil } }
        let arguments = node.inputs.map { $0.flatMap { input in values[input] ?? constant(input).map { .tensor($0) } } }
        guard let kernel = try? context.prepare(node, constants: known),
          let results = try? kernel.body(arguments, EvaluationContext(outputCount: node.outputs.count)),
          let output = node.output(0), let result = results.first, let result
        else { return nil }
        values[output] = result
      }
      guard let reals = values[value]?.tensor?.floats, reals.count == points.count, reals.allSatisfy(\.isFinite) else {
        return nil
      }
      return reals.map(Double.init)
    }
    guard let lines = WideLines(low: x.low, high: x.high, fraction: x.fraction, evaluate) else {
      _ = refuse(node, "\(node.opType) has no close approximation by straight lines over \(x.low) ... \(x.high)")
      return nil
    }
    let step = WideFunctionStep(
      fractions: (x.fraction, lines.fraction), core: lines.core, nodes: lines.nodes, left: lines.left,
      right: lines.right)
    return WideForm(
      slot: emit(node, .integer, [x.slot], step), fraction: lines.fraction, low: lines.low, high: lines.high,
      isQuantized: x.isQuantized)
  }

  private struct FunctionRegion {
    let leaf: Value
    /// Producers first.
    let nodes: [Node]
  }

  /// The nodes between `value` and the one value that it is a function of, as many as there are.
  private func functionRegion(_ value: Value) -> FunctionRegion? {
    var nodes: Set<Node> = []
    var frontier: Set<Value> = [value]
    var best: FunctionRegion?
    while nodes.count < 32 {
      // The latest value of the frontier is nobody's producer within it.
      guard let next = frontier.max(by: { position($0) < position($1) }), let node = next.producer,
        constant(next) == nil, source(next) == nil, next === node.output(0), node.outputs.count == 1,
        node.canonicalDomain.isEmpty || node.canonicalDomain == "com.microsoft", Self.elementwise.contains(node.opType),
        next === value || next.consumers.allSatisfy(nodes.contains)
      else { return best }
      frontier.remove(next)
      nodes.insert(node)
      for input in node.inputs {
        guard let input else { continue }
        if let tensor = constant(input) {
          guard tensor.count == 1 else { return best }
        } else {
          frontier.insert(input)
        }
      }
      if frontier.count == 1, let leaf = frontier.first {
        best = FunctionRegion(leaf: leaf, nodes: nodes.sorted { order[$0, default: 0] < order[$1, default: 0] })
      }
      if frontier.isEmpty { return best }
    }
    return best
  }

  private func position(_ value: Value) -> Int { value.producer.flatMap { order[$0] } ?? -1 }
}

/// A function by 2^14 lines of equal width over a core, and one line on either side where it goes on straight.
struct WideLines {
  let fraction: Int32
  let core: Int32
  let nodes: [Int32]
  let left: (slope: Int32, intercept: Int32)
  let right: (slope: Int32, intercept: Int32)
  let low: Double
  let high: Double
  /// The largest distance from the function at the middles of the lines, where it is greatest.
  let error: Double

  static let segments = 1 << 14

  /// nil where no core within the bounds of x gives an error below 2^-16 of the function's magnitude (or of 1).
  init?(low: Double, high: Double, fraction fx: Int32, _ function: ([Double]) -> [Double]?) {
    let reach = max(abs(low), abs(high))
    let whole = reach > 0 ? Int32(reach.exponent) + 1 : 0
    for core in (whole <= 5 ? [whole] : [5, 4, 6, 7, whole]) where core <= whole {
      let core = max(core, 13 - fx)
      if let lines = WideLines(core: core, low: low, high: high, isWhole: core >= whole, fx, function) {
        self = lines
        return
      }
    }
    return nil
  }

  private init?(
    core: Int32, low: Double, high: Double, isWhole: Bool, _ fx: Int32, _ function: ([Double]) -> [Double]?
  ) {
    let edge = Double(sign: .plus, exponent: Int(core), significand: 1)
    let width = 2 * edge / Double(Self.segments)
    guard let reals = function((0...Self.segments).map { Double($0) * width - edge }),
      let middles = function((0..<Self.segments).map { (Double($0) + 0.5) * width - edge })
    else { return nil }
    // Lines that no x can meet hold anything.
    let own = (0..<Self.segments).filter { Double($0 + 1) * width - edge >= low && Double($0) * width - edge <= high }
    guard let first = own.first, let last = own.last else { return nil }
    let inside = reals[first...(last + 1)]
    var least = inside.min() ?? 0
    var greatest = inside.max() ?? 0
    func line(_ sign: Double, _ bound: Double) -> (slope: Double, intercept: Double)? {
      guard !isWhole, bound * sign > edge else { return (0, 0) }
      let points = [edge, edge + (abs(bound) - edge) / 3, edge + (abs(bound) - edge) * 2 / 3, abs(bound)].map {
        $0 * sign
      }
      guard let ends = function(points) else { return nil }
      let slope = (ends[3] - ends[0]) / (points[3] - points[0])
      let intercept = ends[0] - slope * points[0]
      for (x, y) in zip(points, ends) where abs(slope * x + intercept - y) > 0x1p-20 * max(1, abs(y)) { return nil }
      least = min(least, ends.min()!)
      greatest = max(greatest, ends.max()!)
      return abs(slope) < 1.999 ? (slope, intercept) : nil
    }
    guard let left = line(-1, low), let right = line(1, high), let fy = WideForm.fraction(least, greatest) else {
      return nil
    }
    var error = 0.0
    for j in own { error = max(error, abs((reals[j] + reals[j + 1]) / 2 - middles[j])) }
    guard error <= 0x1p-16 * max(1, max(abs(least), abs(greatest)) * 0x1p-4) else { return nil }
    let one = Double(sign: .plus, exponent: Int(fy), significand: 1)
    func code(_ real: Double) -> Int32? {
      let scaled = (real * one).rounded(.toNearestOrEven)
      return abs(scaled) < 0x1p31 ? Int32(scaled) : nil
    }
    guard let leftIntercept = code(left.intercept), let rightIntercept = code(right.intercept) else { return nil }
    func slope(_ real: Double) -> Int32 { Int32((real * 0x1p30).rounded(.toNearestOrEven)) }
    fraction = fy
    self.core = core
    nodes = reals.map { code(min(max($0, least), greatest)) ?? 0 }
    self.left = (slope(left.slope), leftIntercept)
    self.right = (slope(right.slope), rightIntercept)
    self.low = least
    self.high = greatest
    self.error = error
  }
}
