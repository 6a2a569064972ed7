import ONNXTensor
import QuantCore
import QuantPasses

/// A target of the user's own: a preset, with what a file says otherwise. `docs/targets.md` is the schema.
enum TargetFile {
  private static let keys = [
    "name", "extends", "activations", "weights", "placement", "bias", "weighted", "integer-output", "arithmetic",
    "movement", "absorbed", "sharing", "per-tensor-weights", "products", "matmul-bias", "tensor-core-shapes",
    "fixed-ranges", "highest-opset", "equalize", "wide-activations",
  ]

  /// What activations are quantized to.
  static let activationTypes: [ElementType] = [.int8, .uint8, .int16, .uint16, .float8E4M3FN, .float8E5M2]
  /// What weights are quantized to.
  static let weightTypes: [ElementType] = [
    .int8, .uint8, .int16, .uint16, .int4, .uint4, .int2, .uint2, .float8E4M3FN, .float8E5M2,
  ]

  static func preset(_ tree: SettingsTree) throws(QuantizerError) -> TargetPreset {
    let table = try tree.table(keys)
    guard let base = table["extends"] else {
      throw tree.error("'extends' is missing: the target that this one is made from, as in 'extends: onnxruntime'")
    }
    var target: TargetPreset = try base.choice(TargetPreset.all.map { ($0.name, $0) })
    target.name = try table["name"]?.text() ?? name(of: tree.file)
    if let grid = table["activations"] {
      target.activations = try scheme(grid, types: activationTypes).change.applied(to: target.activations)
    }
    if let grid = table["weights"] {
      let (change, isPerChannel, block) = try scheme(grid, types: weightTypes, channels: true)
      target.weights = change.applied(to: target.weights)
      target.isPerChannel = isPerChannel ?? target.isPerChannel
      target.blockSize = block ?? target.blockSize
    }
    if let value = table["placement"] {
      target.placement = try value.choice([
        ("weighted-inputs", .weightedInputs), ("between-quantized", .betweenQuantized), ("every-tensor", .everyTensor),
      ])
    }
    if let value = table["bias"] { target.bias = try value.choice([("float", .float), ("int32", .int32)]) }
    let weighted = ["Conv", "ConvTranspose", "Gemm", "MatMul"]
    try change(&target.weighted, table["weighted"], among: weighted)
    try change(&target.integerOutput, table["integer-output"], among: weighted)
    try change(&target.perTensorWeights, table["per-tensor-weights"], among: weighted)
    try change(&target.arithmetic, table["arithmetic"])
    try change(&target.movement, table["movement"], among: TargetPreset.movable)
    try change(&target.absorbed, table["absorbed"], among: ["Relu", "Clip"])
    try change(&target.sharing, table["sharing"])
    if let value = table["wide-activations"] {
      target.wideActivations = try value.choice([("uint16", .uint16), ("int16", .int16), ("none", nil)])
    }
    if let value = table["equalize"] { target.equalizes = try value.flag() }
    if let value = table["products"] { target.quantizesProducts = try value.flag() }
    if let value = table["matmul-bias"] { target.fusesMatMulBias = try value.flag() }
    if let value = table["tensor-core-shapes"] { target.needsTensorCoreShapes = try value.flag() }
    if let value = table["fixed-ranges"] {
      guard case .table(let entries) = value.content else { throw value.error("a table of operators and ranges") }
      target.fixedRanges = [:]
      for entry in entries {
        let (lower, upper) = try entry.value.range()
        target.fixedRanges[entry.key] = ValueRange(lower, upper)
      }
    }
    if let value = table["highest-opset"] {
      guard let opset = Int(try value.text()), opset >= target.lowestOpset, opset < 1000 else {
        throw value.error("an opset of at least \(target.lowestOpset) is expected")
      }
      target.highestOpset = opset
    }
    settleOpset(&target)
    return target
  }

  static func settleOpset(_ target: inout TargetPreset) {
    let blocks = target.blockSize == nil ? 0 : 21
    target.lowestOpset = max(target.lowestOpset, opset(target.activations), opset(target.weights), blocks)
  }

  /// The first opset whose QuantizeLinear has the type.
  static func opset(_ scheme: QuantizationScheme) -> Int {
    switch scheme.elementType {
    case .int8, .uint8: 13
    case .float8E4M3FN, .float8E5M2: 19
    case .int2, .uint2: 25
    default: 21
    }
  }

  /// What a table says about a grid.
  static func scheme(
    _ tree: SettingsTree, types: [ElementType], channels: Bool = false
  ) throws(QuantizerError) -> (change: SchemeChange, isPerChannel: Bool?, block: Int?) {
    let table = try tree.table(
      ["type", "symmetric", "reduce-range", "power-of-two", "smallest-range"]
        + (channels ? ["per-channel", "block"] : []))
    var change = SchemeChange()
    change.elementType = try table["type"]?.choice(types.map { ($0.name, $0) })
    change.isSymmetric = try table["symmetric"]?.flag()
    change.isReduced = try table["reduce-range"]?.flag()
    change.isPowerOfTwo = try table["power-of-two"]?.flag()
    if let value = table["smallest-range"] {
      let smallest = try value.number()
      guard smallest >= 0 else { throw value.error("a range is not narrower than 0") }
      change.smallestRange = smallest
    }
    var block: Int?
    if let value = table["block"] {
      guard let size = Int(try value.text()), size > 0 else { throw value.error("a block has 1 element or more") }
      block = size
    }
    return (change, try table["per-channel"]?.flag(), block)
  }

  /// A list takes the place of the set; a table of `add` and `remove` changes it.
  private static func change(
    _ set: inout Set<String>, _ tree: SettingsTree?, among known: [String]? = nil
  ) throws(QuantizerError) {
    guard let tree else { return }
    func names(_ tree: SettingsTree) throws(QuantizerError) -> Set<String> {
      var result = Set<String>()
      for item in try tree.items() {
        let name = try item.text()
        if let known, !known.contains(name) {
          throw item.error("'\(name)' cannot stand here; use \(known.sorted().joined(separator: ", "))")
        }
        result.insert(name)
      }
      return result
    }
    if case .table = tree.content {
      let table = try tree.table(["add", "remove"])
      if let added = table["add"] { set.formUnion(try names(added)) }
      if let removed = table["remove"] { set.subtract(try names(removed)) }
    } else {
      set = try names(tree)
    }
  }

  private static func name(of file: String) -> String {
    let last = file.split(separator: "/").last.map(String.init) ?? file
    for suffix in [".yaml", ".yml"] where last.hasSuffix(suffix) { return String(last.dropLast(suffix.count)) }
    return last
  }
}

/// What is quantized otherwise than the target says, from a file: a list of entries, of which the last that fits counts.
enum OverridesFile {
  static func overrides(_ tree: SettingsTree) throws(QuantizerError) -> [TensorOverride] {
    var result: [TensorOverride] = []
    for item in try tree.items() { result.append(try entry(item)) }
    return result
  }

  private static func entry(_ tree: SettingsTree) throws(QuantizerError) -> TensorOverride {
    let table = try tree.table(["match", "float", "activations", "weights", "method", "range"])
    guard let match = table["match"] else {
      throw tree.error("'match' is missing: what the entry is for, as in 'match: op:Softmax'")
    }
    let selector: Selector
    do { selector = try Selector(match.text()) } catch { throw match.error("\(error)") }
    var result = TensorOverride(selector)
    result.isFloat = try table["float"]?.flag() ?? false
    if result.isFloat, table.count > 2 { throw tree.error("what stays float has no grid, method or range") }
    if let grid = table["activations"] {
      result.activations = try TargetFile.scheme(grid, types: TargetFile.activationTypes).change
    }
    if let grid = table["weights"] {
      (result.weights, result.isPerChannel, result.blockSize) = try TargetFile.scheme(
        grid, types: TargetFile.weightTypes, channels: true)
    }
    if let method = table["method"] {
      do { result.method = try RangeMethod(parsing: try method.text()) } catch { throw method.error("\(error)") }
    }
    if let range = table["range"] {
      if table["method"] != nil { throw range.error("'range' and 'method' exclude each other") }
      let (lower, upper) = try range.range()
      result.range = ValueRange(lower, upper)
    }
    return result
  }
}
