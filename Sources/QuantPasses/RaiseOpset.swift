import ONNXGraph
import ONNXTensor

/// Brings the opset of `ai.onnx` up to a version, converting only the nodes whose operator changed its form on the way.
/// Each converted node is reported; one that cannot be converted is refused by name, and then nothing is changed.
///
/// Model functions of an older opset are raised along. A model below IR 4 must list its initializers among the inputs;
/// the raised one lists only what a caller gives.
package struct RaiseOpset: Pass {
  /// The first opset with `axis` in DequantizeLinear.
  package static let perAxis = 13
  /// The first with float16 scales and float8 codes.
  package static let halfScales = 19
  /// The first with codes of 16 bits.
  static let wideCodes = 21
  /// The first with blocks, 16-bit and 4-bit codes.
  package static let blocks = 21
  /// The newest opset that nodes are converted to.
  package static let newest = 28
  let version: Int
  let reason: String
  /// Shapes known from elsewhere than the file, by tensor.
  let shape: (String) -> [Int]?

  /// - Parameter reason: what needs the version, for the journal.
  package init(
    to version: Int = RaiseOpset.perAxis, reason: String? = nil, shape: @escaping (String) -> [Int]? = { _ in nil }
  ) {
    self.version = version
    self.reason = reason ?? Self.standardReason(version)
    self.shape = shape
  }

  private static func standardReason(_ version: Int) -> String {
    switch version {
    case perAxis: "per-axis DequantizeLinear needs opset \(version)"
    default: "this form of DequantizeLinear needs opset \(version)"
    }
  }

  package func run(on model: Model) throws -> [JournalEntry] {
    let current = model.opset() ?? 1
    guard current < version else { return [] }
    guard version <= Self.newest else {
      throw PassError(
        .badOption, "opset \(version) is not known: the newest one that models are raised to is \(Self.newest)")
    }
    var bodies: [(graph: Graph, from: Int)] = model.graph.allGraphs.map { ($0, current) }
    for function in model.functions {
      guard let own = function.opset(""), own < version else { continue }
      bodies += function.body.allGraphs.map { ($0, own) }
    }
    // What has no later form is known before anything is changed.
    for (graph, from) in bodies {
      for node in graph.nodes where node.isStandard { try LaterOpsetConversion(node, from: from, to: version).check() }
    }
    var journal: [JournalEntry] = []
    if bodies.contains(where: { $0.from < Self.perAxis }) {
      journal += try apply(bodies.filter { $0.from < Self.perAxis }, to: Self.perAxis, in: model) {
        node, graph, from, names in
        var conversion = OpsetConversion(node: node, graph: graph, from: from, shape: shape, names: names)
        try conversion.convert()
        names = conversion.names
        return conversion.entry.map { ($0, conversion.edits) }
      }
    }
    if version > Self.perAxis {
      journal += try apply(bodies.map { ($0.graph, max($0.from, Self.perAxis)) }, to: version, in: model) {
        node, _, from, names in
        try LaterOpsetConversion(node, from: from, to: version).edits(&names)
      }
    }
    for function in model.functions {
      guard let own = function.opset(""), own < version else { continue }
      for index in function.opsetImports.indices
      where ["", "ai.onnx"].contains(function.opsetImports[index].domain ?? "") {
        function.opsetImports[index].version = Int64(version)
      }
    }
    var patch = GraphPatch(model)
    patch.add(
      JournalEntry(
        rule: "F04", reason: reason, subject: .model, action: "opset raised from \(current) to \(version)"),
      .setOpset(domain: "", version: version))
    addInterface(to: &patch, model: model)
    return journal + (try patch.apply())
  }

  private typealias Converting = (Node, Graph, Int, inout NameAuthority) throws -> (JournalEntry, [GraphPatch.Edit])?

  /// Converts nested graphs first; nothing is applied before all conversions are known to work.
  private func apply(
    _ bodies: [(graph: Graph, from: Int)], to version: Int, in model: Model, _ convert: Converting
  ) throws -> [JournalEntry] {
    var names = NameAuthority(model: model)
    var patches: [GraphPatch] = []
    let functions = Set(model.functions.flatMap { $0.body.allGraphs }.map { ObjectIdentifier($0) })
    for (graph, from) in bodies.reversed() where from < version {
      var patch = GraphPatch(model, graph: graph)
      for node in graph.nodes where node.isStandard {
        guard let (entry, edits) = try convert(node, graph, from, &names) else { continue }
        let isInFunction = functions.contains(ObjectIdentifier(graph))
        patch.add(entry, isInFunction ? edits.map { Self.withoutInitializers($0, &names) } : edits)
      }
      patches.append(patch)
    }
    var journal: [JournalEntry] = []
    for patch in patches { journal += try patch.apply() }
    return journal
  }

  /// Functions have no initializers: a constant there is a node.
  private static func withoutInitializers(_ edit: GraphPatch.Edit, _ names: inout NameAuthority) -> GraphPatch.Edit {
    guard case .addInitializer(let value, let literal) = edit else { return edit }
    return .insert(
      NodeBlueprint(
        "Constant", name: names.unique("\(value.name)_Constant"), inputs: [], outputs: [value],
        attributes: [Attribute("value", .tensor(literal))]), .front)
  }

  /// The IR version that each opset came with.
  static func interface(of opset: Int) -> Int {
    switch opset {
    case ..<15: 7
    case ..<19: 8
    case ..<21: 9
    case ..<23: 10
    case 23: 11
    case 24: 12
    case ..<28: 13
    default: 14
    }
  }

  private func addInterface(to patch: inout GraphPatch, model: Model) {
    let irVersion = Int(model.irVersion ?? 3)
    let needed = Self.interface(of: version)
    guard irVersion < needed else { return }
    patch.append(.setIRVersion(needed))
    guard irVersion < 4 else { return }
    let listed = model.graph.inputs.map(\.value).filter { model.graph.initializer(for: $0) != nil }
    guard !listed.isEmpty else { return }
    patch.add(
      JournalEntry(
        rule: "F05",
        reason: "below IR 4 initializers had to be listed as inputs, from IR 4 on that makes them defaults",
        subject: .model, action: "\(listed.count) initializers no longer listed as inputs"),
      listed.map { .removeGraphInput($0) })
  }
}
