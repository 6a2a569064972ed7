import ONNXFormat
import ONNXGraph
import ONNXTensor

/// A plan as an engine file. The same plan gives the same bytes.
package struct EngineWriter {
  /// What the file says of its making, in order.
  private let stamp: [(key: String, value: String)]
  private let plan: IntegerPlan
  private let tables = EngineTables()
  private let operators: OperatorStore

  /// - Parameter plan: lowered with `isStored`.
  package init(_ plan: IntegerPlan, stamp: [(key: String, value: String)]) {
    self.plan = plan
    self.stamp = stamp
    operators = OperatorStore(plan.model)
  }

  /// Writes aside and renames.
  ///
  /// - Returns: the number of bytes.
  @discardableResult
  package func write(to path: String) throws -> Int {
    let pieces = try pieces()
    let file = try AtomicFile(replacing: path)
    for piece in pieces { try file.write(piece.bytes) }
    try file.commit()
    return pieces.reduce(0) { $0 + $1.count }
  }

  /// The file in memory.
  package func bytes() throws -> [UInt8] { try pieces().flatMap { Array($0.bytes) } }

  /// - Throws: `EngineFileError` with the node at fault.
  package func pieces() throws -> [ByteView] {
    var contents: [EngineContainer.Section: [ByteView]] = [:]
    var entries: [UInt8] = []
    entries.put(word: stamp.count)
    for (key, value) in stamp {
      entries.put(tables.index(key))
      entries.put(tables.index(value))
    }
    contents[.stamp] = [ByteView(entries)]
    contents[.interface] = [ByteView(try interface())]
    contents[.steps] = [ByteView(try steps())]
    if plan.whole != nil {
      contents[.operators] = [ByteView(try ModelEncoder.bytes(of: plan.model))]
    } else {
      contents[.operators] = [ByteView(try operators.encoded())]
    }
    (contents[.tensors], contents[.data]) = tensors()
    contents[.strings] = [ByteView(strings())]
    return EngineContainer.assemble(contents)
  }

  private func strings() -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.put(word: tables.strings.count)
    var end = 0
    for string in tables.strings {
      end += string.utf8.count
      bytes.put(word: end)
    }
    for string in tables.strings { bytes += string.utf8 }
    return bytes
  }

  private func tensors() -> (table: [ByteView], data: [ByteView]) {
    var table: [UInt8] = []
    var data: [ByteView] = []
    var offset = 0
    table.put(word: tables.tensors.count)
    table.put(UInt32(0))
    for tensor in tables.tensors {
      table.put(UInt32(bitPattern: tensor.elementType.rawValue))
      table.put(word: tensor.rank)
      table.put(UInt64(offset))
      table.put(UInt64(tensor.byteCount))
      for extent in tensor.shape { table.put(UInt64(extent)) }
      if tensor.byteCount > 0 { data.append(ByteView(tensor)) }
      let end = EngineData.end(of: offset, tensor.byteCount)
      data.append(ByteView([UInt8](repeating: 0, count: end - offset - tensor.byteCount)))
      offset = end
    }
    return ([ByteView(table)], data)
  }

  private func interface() throws -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.put(word: plan.slotCount)
    bytes.put(UInt32(plan.whole == nil ? 0 : 1))
    bytes.put(tables.index(plan.options.rounding.rawValue))
    guard plan.whole == nil else {
      // The embedded model says the rest.
      for _ in 0..<4 { bytes.put(UInt32(0)) }
      return bytes
    }
    let graph = plan.model.graph
    let inputs = zip(graph.inputs, plan.inputSlots).filter { graph.initializer(for: $0.0.value) == nil }
    for ports in [Array(inputs), Array(zip(graph.outputs, plan.outputSlots))] {
      bytes.put(word: ports.count)
      for (port, slot) in ports { put(port, slot, into: &bytes) }
    }
    bytes.put(word: plan.constants.count)
    for (slot, value) in plan.constants.sorted(by: { $0.key < $1.key }) {
      bytes.put(word: slot)
      switch value {
      case .integer(let tensor):
        bytes.put(UInt32(1))
        bytes.put(try tables.add(tensor.plain(nil).bytes))
      case .runtime(.tensor(let tensor)):
        bytes.put(UInt32(0))
        do {
          bytes.put(try tables.add(tensor))
        } catch {
          let reader = plan.steps.first { $0.inputs.contains(slot) }
          throw EngineFileError(error.code, error.message, at: reader.map { "node \($0.node.label)" })
        }
      case .wide: throw EngineFileError(.unwritable, "a constant in fixed point cannot be stored in an engine")
      case .runtime: throw EngineFileError(.unwritable, "a constant that is no tensor cannot be stored in an engine")
      }
    }
    let names = plan.names.sorted { $0.key < $1.key }.flatMap { slot, names in names.map { (slot, $0) } }
    bytes.put(word: names.count)
    for (slot, name) in names {
      bytes.put(word: slot)
      bytes.put(tables.index(name.value.name))
      let fraction = plan.fractions[slot]
      bytes.put(UInt32(name.parameters == nil ? (fraction == nil ? 0 : 2) : 1))
      bytes.put(name.parameters?.scale ?? 0)
      bytes.put(name.parameters?.zero ?? fraction ?? 0)
      bytes.put(UInt32(name.parameters?.isSigned ?? false ? 1 : 0))
    }
    return bytes
  }

  private func put(_ port: Graph.Port, _ slot: Int, into bytes: inout [UInt8]) {
    bytes.put(tables.index(port.value.name))
    bytes.put(word: slot)
    let type = port.info.type?.tensorType
    bytes.put(UInt32(bitPattern: type?.elementType.flatMap(ElementType.init)?.rawValue ?? 0))
    bytes.put(word: type?.shape.map { $0.count + 1 } ?? 0)
    for dimension in type?.shape ?? [] {
      var extent: Int64 = -1
      var name = EngineData.none
      switch dimension.extent {
      case .unknown: break
      case .value(let value): extent = max(value, -1)
      case .parameter(let parameter): name = tables.index(parameter)
      }
      bytes.put(extent)
      bytes.put(name)
    }
  }

  private func steps() throws -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.put(word: plan.steps.count)
    for step in plan.steps {
      let location = "node \(step.node.label) [\(step.node.opType)]"
      guard let operation = step.operation else {
        throw EngineFileError(
          .unwritable, "its step has no stored form in engine version \(EngineContainer.version)", at: location)
      }
      var fields = FieldWriter(tables, operators)
      do {
        try operation.store(&fields)
      } catch let error as EngineFileError {
        throw error.location == nil ? EngineFileError(error.code, error.message, at: location) : error
      }
      let type = type(of: operation)
      var record: [UInt8] = []
      record.put(tables.index(type.kind))
      record.put(tables.index(step.node.label))
      record.put(tables.index(step.node.opType))
      record.put(EngineData.code(step.kind))
      record.put(step.kind.reason.map { tables.index($0) } ?? EngineData.none)
      record.put(type.layout.rawValue)
      for slots in [step.inputs, step.outputs] {
        record.put(word: slots.count)
        for slot in slots { record.put(slot.map { UInt32(truncatingIfNeeded: $0) } ?? EngineData.none) }
      }
      record.put(word: fields.count)
      record += fields.bytes
      bytes.put(word: record.count)
      bytes += record
    }
    return bytes
  }
}

/// What writer and reader agree on besides the container.
enum EngineData {
  /// No string, no slot.
  static let none = UInt32.max

  /// Where the tensor after one of `count` bytes at `offset` begins: at least 64 bytes later, so that kernels may read
  /// a whole vector past the end.
  static func end(of offset: Int, _ count: Int) -> Int { EngineContainer.aligned(offset + count) + 64 }

  static func code(_ kind: PlanStep.Kind) -> UInt32 {
    switch kind {
    case .integer: 0
    case .border: 1
    case .shape: 2
    case .float: 3
    }
  }
}
