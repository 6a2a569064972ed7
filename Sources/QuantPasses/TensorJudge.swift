import ONNXGraph
import ONNXTensor
import QuantCore

/// Says of each tensor whether it can be quantized, and from which range.
final class TensorJudge {
  /// A range, the grid for it alone, and where the range came from.
  struct Measured {
    let range: ValueRange
    let parameters: QuantizationParameters
    let method: String
  }

  enum Verdict {
    /// It is behind Q/DQ already.
    case existing
    case constant
    case measured(Measured)
    /// It stays float.
    case float(PlacementRule, String)
    /// Its statistics are unusable: an error or float, as the policy says.
    case unusable(String)
  }

  private let view: QuantizationView
  private let statistics: ModelStatistics
  private let options: InsertionOptions
  private let excluded: Set<Value>
  private let names: [Value: String]
  private let ranges: [Value: ValueRange]
  private var verdicts: [Value: Verdict] = [:]
  private var rescued: [Value: String] = [:]
  private var widened: [Value: String] = [:]

  /// - Parameter names: what the statistics call tensors, where that is not their name.
  /// - Parameter ranges: of tensors whose channels were equalized; statistics of that name know their shape only.
  init(
    _ view: QuantizationView, statistics: ModelStatistics, options: InsertionOptions, excluded: Set<Value>,
    names: [Value: String] = [:], ranges: [Value: ValueRange] = [:]
  ) {
    self.view = view
    self.names = names
    self.ranges = ranges
    self.statistics = statistics
    self.options = options
    self.excluded = excluded
  }

  /// From now on the tensor stays float.
  func rescue(_ tensor: Value, reason: String) { rescued[tensor] = reason }

  /// What stays float for another judge stays float for this one, for the same reasons.
  func rescueAlso(_ other: TensorJudge) {
    rescued.merge(other.rescued) { _, reason in reason }
    widened.merge(other.widened) { _, reason in reason }
  }

  func withdrawRescue(_ tensor: Value) { rescued[tensor] = nil }

  /// From now on the tensor has the target's wide type.
  func widen(_ tensor: Value, reason: String) {
    widened[tensor] = reason
    verdicts[tensor] = nil
  }

  func withdrawWidening(_ tensor: Value) {
    widened[tensor] = nil
    verdicts[tensor] = nil
  }

  /// Why the tensor has the target's wide type; nil where it has not.
  func widening(_ tensor: Value) -> String? { widened[tensor] }

  var hasWidened: Bool { !widened.isEmpty }

  /// The grid that the target has for the tensor.
  private func scheme(_ tensor: Value) -> QuantizationScheme {
    widened[tensor] == nil ? options.target.activations : options.target.wideScheme
  }

  func verdict(_ tensor: Value) throws -> Verdict {
    if let reason = rescued[tensor] { return .float(.rescued, reason) }
    if let known = verdicts[tensor] { return known }
    let verdict = try judge(tensor)
    verdicts[tensor] = verdict
    return verdict
  }

  /// nil for a tensor of which not all is known.
  func statistics(of tensor: Value) -> TensorStatistics? { ranges[tensor] == nil ? seen(tensor) : nil }

  private func seen(_ tensor: Value) -> TensorStatistics? { statistics[names[tensor] ?? tensor.name] }

  /// The shape that all samples had, else the declared one where it is fixed.
  func shape(_ tensor: Value) -> [Int]? { seen(tensor)?.shape ?? tensor.type?.staticShape }

  private func judge(_ tensor: Value) throws -> Verdict {
    if view.pairs[tensor] != nil { return .existing }
    if excluded.contains(tensor) { return .float(.selected, "it is excluded") }
    if view.constants.isConstant(tensor) {
      guard view.constants.elementType(tensor).map(FloatTypes.isReal) ?? false else {
        return .float(.elementType, "it is no float of 16 or 32 bits")
      }
      guard let values = view.constants.floats(tensor), !values.isEmpty, values.allSatisfy(\.isFinite) else {
        return .float(.noData, "the constant is empty or not finite")
      }
      return .constant
    }
    if let type = tensor.type?.elementType, !FloatTypes.isReal(type) {
      return .float(.elementType, "it is of type \(type.name)")
    }
    if let producer = view.producer(tensor), producer.isStandard,
      let range = options.target.fixedRanges[producer.opType]
    {
      let final = widened[tensor] == nil ? range : options.target.widened(range)
      return .measured(Measured(range: final, parameters: try scheme(tensor).parameters(for: final), method: "fixed"))
    }
    if let range = ranges[tensor] {
      let parameters = try scheme(tensor).parameters(for: range)
      return .measured(Measured(range: range, parameters: parameters, method: "minmax of channels made alike"))
    }
    guard let measured = statistics(of: tensor) else {
      // Convolutions read floats, whatever the file declares.
      let isFloat = (view.uses[tensor] ?? []).contains {
        $0.index == 0 && $0.node.isStandard("Conv", "ConvTranspose", "Gemm")
      }
      if tensor.type?.elementType == nil, !isFloat {
        return .float(.elementType, "neither its type nor its values are known")
      }
      return .unusable("the statistics know nothing of it")
    }
    do {
      let choice = try options.method.choose(for: measured, scheme: scheme(tensor))
      if options.rescueBudget != nil, let reason = Self.drowning(measured, choice) { return .float(.drowned, reason) }
      return .measured(try distinguished(tensor, choice))
    } catch {
      switch error.code {
      case .noData, .nonFinite: return .unusable(error.message)
      default: throw error
      }
    }
  }

  /// The range less what all readers are flat on, to within an eighth of a step.
  private func distinguished(_ tensor: Value, _ choice: RangeChoice) throws(QuantizationError) -> Measured {
    var range = choice.range
    var parameters = choice.parameters
    let readers = SaturatingReaders(view: view)
    // The steps of a float type follow the values.
    let isFloat = QuantizationScheme.format(of: parameters.elementType) != nil
    // A narrower range has a smaller step, which asks for a wider one: the second round settles it.
    for _ in 0..<2 where !isFloat {
      guard let told = readers.distinguished(tensor, tolerance: Double(parameters.scale) / 8) else { break }
      range = ValueRange(max(choice.range.lower, told.lower), min(choice.range.upper, told.upper))
      guard range.lower < range.upper else { break }
      parameters = try scheme(tensor).parameters(for: range)
    }
    guard range.lower < range.upper, range != choice.range else {
      return Measured(
        range: choice.range, parameters: choice.parameters, method: choice.method.description)
    }
    return Measured(
      range: range, parameters: parameters, method: "\(choice.method.description), less what its readers are flat on")
  }

  /// A range beyond this is that of a mask, not of a signal; integer arithmetic on it overflows float32.
  private static let largestRange: Float = 1e30

  /// Whether a few huge values leave nothing of the others: values that become zero and values that do not are far apart.
  ///
  /// A heavy tail is no gap. Between the largest magnitude that vanishes and the smallest that stays there is a factor of
  /// about 1 in any signal; an additive mask beside logits leaves 16 and more.
  static func drowning(_ statistics: TensorStatistics, _ choice: RangeChoice) -> String? {
    if choice.range.largestMagnitude > largestRange {
      return "its range reaches \(choice.range.largestMagnitude), as a mask does"
    }
    // The smallest code is a step, or for a float type its smallest value.
    let smallest = QuantizationScheme.format(of: choice.parameters.elementType)?.decode(1) ?? 1
    let half = choice.parameters.scale * smallest / 2
    var largestVanished: Float = 0
    var smallestKept = Float.infinity
    var vanished: UInt64 = 0
    for page in statistics.histogram.pages {
      for (index, count) in page.counts.enumerated() where count > 0 {
        let magnitude = Float(bitPattern: (UInt32(page.key & 0xFF) << 8 | UInt32(index)) << 15)
        if magnitude < half {
          largestVanished = max(largestVanished, magnitude)
          vanished += count
        } else {
          smallestKept = min(smallestKept, magnitude)
        }
      }
    }
    guard vanished > 0, smallestKept.isFinite, smallestKept >= 16 * largestVanished else { return nil }
    let share = Double(vanished) / Double(max(statistics.finite &- statistics.zeros, 1))
    // Denormal dust beside a signal is not a drowned signal.
    guard share >= 0.01, largestVanished > choice.parameters.scale * 0x1p-20 || choice.range.largestMagnitude > 1000
    else {
      return nil
    }
    let percent = Int((share * 100).rounded())
    return "\(percent) % of its values, up to \(largestVanished), would become zero beside \(smallestKept) and more"
  }
}
