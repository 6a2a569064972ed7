import ONNXFormat
import ONNXGraph
import ONNXTensor

/// An engine file, opened: mapped, with its structure checked. Weights are neither read nor hashed.
package final class EngineFile {
  package struct Port {
    package let name: String
    /// nil where the model does not say.
    package let elementType: ElementType?
    package let shape: [ValueType.Dimension]?
    let slot: Int
  }

  /// A step as it is in the file.
  package struct Step {
    package let kind: String
    package let node: String
    package let opType: String
    /// `integer`, `border`, `shape` or `float`.
    package let kindOfWork: String
    package let reason: String?
    package let layout: String
    package let inputs: [Int?]
    package let outputs: [Int?]
    package let fields: [(name: String, field: EngineField)]
  }

  /// What a section holds, and its hash as the file states it.
  package struct SectionSummary {
    package let name: String
    package let offset: Int
    package let size: Int
    package let sha256: String
  }

  package let bytes: ByteView
  package let stamp: [(key: String, value: String)]
  package let rounding: String
  package private(set) var inputs: [Port] = []
  package private(set) var outputs: [Port] = []
  package private(set) var steps: [Step] = []
  package let tensors: [EngineTensor]
  package let slotCount: Int
  /// The whole model is run in float, as embedded.
  package let isWhole: Bool
  private(set) var constants: [(slot: Int, isInteger: Bool, tensor: Tensor)] = []
  /// The fraction bits of the slots with names that hold fixed-point codes.
  private(set) var fractions: [Int: Int32] = [:]
  private(set) var names: [(slot: Int, name: String, parameters: ActivationParameters?)] = []
  private let entries: [EngineContainer.Entry]

  package static func open(path: String) throws -> EngineFile { try EngineFile(FileMapping(path: path).view) }

  /// Whether a file begins as an engine does.
  package static func isEngine(path: String) -> Bool {
    guard let file = try? FileMapping(path: path) else { return false }
    return file.bytes.prefix(EngineContainer.magic.count).elementsEqual(EngineContainer.magic)
  }

  package static var version: Int { Int(EngineContainer.version) }

  package init(_ view: ByteView) throws(EngineFileError) {
    bytes = view
    let entries = try EngineContainer.read(view.bytes)
    self.entries = entries
    func cursor(_ section: EngineContainer.Section) -> EngineCursor {
      let entry = entries[Int(section.rawValue) - 1]
      return EngineCursor(
        UnsafeRawBufferPointer(rebasing: view.bytes[entry.offset..<entry.offset + entry.size]), at: section.name)
    }
    let strings = try Self.readStrings(cursor(.strings))
    tensors = try Self.readTensors(
      cursor(.tensors), data: entries[Int(EngineContainer.Section.data.rawValue) - 1], view)
    let scope = EngineScope(strings: strings, tensors: tensors)

    var stampCursor = cursor(.stamp)
    var stamp: [(key: String, value: String)] = []
    for _ in 0..<(try stampCursor.count(ofAtLeast: 8)) {
      stamp.append((try scope.string(&stampCursor), try scope.string(&stampCursor)))
    }
    try stampCursor.finish()
    self.stamp = stamp

    var interface = cursor(.interface)
    let slotCount = Int(try interface.word())
    // Each slot is an input, a constant or the result of a step, all of which take bytes here.
    guard slotCount <= view.count / 4 else { throw interface.damaged("\(slotCount) slots") }
    self.slotCount = slotCount
    isWhole = try interface.flag()
    rounding = try scope.string(&interface)
    inputs = try Self.readPorts(&interface, scope, slotCount)
    outputs = try Self.readPorts(&interface, scope, slotCount)
    for _ in 0..<(try interface.count(ofAtLeast: 12)) {
      let slot = try scope.slot(&interface, slotCount)
      let isInteger = try interface.flag()
      let tensor = try scope.tensor(&interface).tensor
      guard !isInteger || tensor.elementType == .uint8 else { throw interface.damaged("a constant is not of bytes") }
      constants.append((slot, isInteger, tensor))
    }
    for _ in 0..<(try interface.count(ofAtLeast: 24)) {
      let slot = try scope.slot(&interface, slotCount)
      let name = try scope.string(&interface)
      let form = try interface.word()
      guard form <= 2 else { throw interface.damaged("'\(name)' has form \(form)") }
      let hasParameters = form == 1
      let scale = try interface.float()
      let zero = try interface.int32()
      let isSigned = try interface.flag()
      guard !hasParameters || (scale.isFinite && scale > 0 && (0...255).contains(zero)) else {
        throw interface.damaged("'\(name)' has scale \(scale) and zero point \(zero)")
      }
      if form == 2 {
        guard (0...30).contains(zero) else { throw interface.damaged("'\(name)' has \(zero) fraction bits") }
        fractions[slot] = zero
      }
      names.append(
        (
          slot, name,
          hasParameters
            ? ActivationParameters(scale: scale, zeroPoint: zero - (isSigned ? 128 : 0), isSigned: isSigned) : nil
        ))
    }
    try interface.finish()
    steps = try Self.readSteps(cursor(.steps), scope, slotCount)
  }

  /// The embedded ONNX model: nothing where the file has none.
  var embeddedModel: ByteView? {
    let entry = entries[Int(EngineContainer.Section.operators.rawValue) - 1]
    guard entry.size > 0 else { return nil }
    return ByteView(
      UnsafeRawBufferPointer(rebasing: bytes.bytes[entry.offset..<entry.offset + entry.size]), owner: bytes.owner)
  }

  package var sections: [SectionSummary] {
    entries.map { SectionSummary(name: $0.section.name, offset: $0.offset, size: $0.size, sha256: $0.hash.hexadecimal) }
  }

  /// Reads the whole file and compares it with its hashes.
  ///
  /// - Returns: the parts that are not what was written: `header`, or names of sections.
  package func changedParts() -> [String] {
    let header = UnsafeRawBufferPointer(
      rebasing: bytes.bytes.prefix(EngineContainer.headerSize + entries.count * EngineContainer.entrySize))
    var changed: [String] = []
    if EngineContainer.headerHash(header) != Array(header[EngineContainer.hashRange]) { changed.append("header") }
    for entry in entries {
      var hash = Sha256(
        of: ByteView(
          UnsafeRawBufferPointer(rebasing: bytes.bytes[entry.offset..<entry.offset + entry.size]), owner: bytes.owner))
      if hash.digest() != entry.hash { changed.append(entry.section.name) }
    }
    return changed
  }

  // MARK: Sections

  private static func readStrings(_ cursor: EngineCursor) throws(EngineFileError) -> [String] {
    var cursor = cursor
    let count = try cursor.count(ofAtLeast: 4)
    var ends: [Int] = []
    ends.reserveCapacity(count)
    for _ in 0..<count { ends.append(Int(try cursor.word())) }
    var strings: [String] = []
    strings.reserveCapacity(count)
    var start = 0
    for end in ends {
      guard end >= start, let text = String(validating: try cursor.take(end - start), as: UTF8.self) else {
        throw cursor.damaged("string \(strings.count) is not in order or not UTF-8")
      }
      strings.append(text)
      start = end
    }
    try cursor.finish()
    return strings
  }

  private static func readTensors(
    _ cursor: EngineCursor, data: EngineContainer.Entry, _ view: ByteView
  ) throws(EngineFileError) -> [EngineTensor] {
    var cursor = cursor
    let count = try cursor.count(ofAtLeast: 0 + 24)
    guard try cursor.word() == 0 else { throw cursor.damaged("a reserved field is used") }
    var tensors: [EngineTensor] = []
    tensors.reserveCapacity(count)
    let storage = TensorStorage(
      viewing: UnsafeRawBufferPointer(rebasing: view.bytes[data.offset..<data.offset + data.size]), owner: view.owner)
    var expected = 0
    for index in 0..<count {
      let code = Int32(bitPattern: try cursor.word())
      let rank = Int(try cursor.word())
      let offset = try cursor.size()
      let byteCount = try cursor.size()
      guard let type = ElementType(rawValue: code), type != .string, rank <= 64 else {
        throw cursor.damaged("tensor \(index) has element type \(code) and rank \(rank)")
      }
      var shape: [Int] = []
      var elements = 1
      var isSound = true
      for _ in 0..<rank {
        let extent = try cursor.size()
        let (product, overflow) = elements.multipliedReportingOverflow(by: max(extent, 1))
        isSound = isSound && !overflow
        elements = product
        shape.append(extent)
      }
      if shape.contains(0) { elements = 0 }
      guard isSound, type.byteCount(elements: elements) == byteCount else {
        throw cursor.damaged("tensor \(index) of shape \(shape) has \(byteCount) bytes")
      }
      guard offset == expected, byteCount <= data.size - offset,
        EngineData.end(of: offset, byteCount) <= data.size
      else { throw cursor.damaged("tensor \(index) lies at \(offset) with \(byteCount) bytes") }
      expected = EngineData.end(of: offset, byteCount)
      tensors.append(
        EngineTensor(
          elementType: type, shape: shape, offset: offset, byteCount: byteCount,
          tensor: Tensor(elementType: type, shape: shape, storage: storage, byteOffset: offset)))
    }
    guard expected == data.size else {
      throw cursor.damaged("the data section has \(data.size) bytes, not \(expected)")
    }
    try cursor.finish()
    return tensors
  }

  private static func readPorts(
    _ cursor: inout EngineCursor, _ scope: EngineScope, _ slotCount: Int
  ) throws(EngineFileError) -> [Port] {
    var ports: [Port] = []
    for _ in 0..<(try cursor.count(ofAtLeast: 16)) {
      let name = try scope.string(&cursor)
      let slot = try scope.slot(&cursor, slotCount)
      let code = Int32(bitPattern: try cursor.word())
      guard code == 0 || ElementType(rawValue: code) != nil else { throw cursor.damaged("element type \(code)") }
      let rank = try cursor.count(ofAtLeast: 0 + 1) - 1
      guard rank <= 64 else { throw cursor.damaged("rank \(rank)") }
      var shape: [ValueType.Dimension]?
      if rank >= 0 {
        var dimensions: [ValueType.Dimension] = []
        for _ in 0..<rank {
          let extent = try cursor.int64()
          let parameter = try scope.optionalString(&cursor)
          guard extent >= -1, parameter == nil || extent == -1 else { throw cursor.damaged("an extent of \(extent)") }
          dimensions.append(
            .init(parameter.map { .parameter($0) } ?? (extent < 0 ? .unknown : .value(extent))))
        }
        shape = dimensions
      }
      ports.append(Port(name: name, elementType: ElementType(rawValue: code), shape: shape, slot: slot))
    }
    return ports
  }

  private static func readSteps(
    _ cursor: EngineCursor, _ scope: EngineScope, _ slotCount: Int
  ) throws(EngineFileError) -> [Step] {
    var cursor = cursor
    var steps: [Step] = []
    for index in 0..<(try cursor.count(ofAtLeast: 40)) {
      let size = Int(try cursor.word())
      var record = EngineCursor(try cursor.take(size), at: "step \(index)")
      let kind = try scope.string(&record)
      let node = try scope.string(&record)
      let opType = try scope.string(&record)
      let work = Int(try record.word())
      let reason = try scope.optionalString(&record)
      let layout = StepLayout(rawValue: try record.word())
      let works = ["integer", "border", "shape", "float"]
      guard work < works.count, (work == 3) == (reason != nil), let layout else {
        throw record.damaged("its kind of work or layout is not known")
      }
      var slots: [[Int?]] = []
      for _ in 0..<2 {
        var list: [Int?] = []
        for _ in 0..<(try record.count(ofAtLeast: 4)) { list.append(try scope.optionalSlot(&record, slotCount)) }
        slots.append(list)
      }
      var fields: [(name: String, field: EngineField)] = []
      for _ in 0..<(try record.count(ofAtLeast: 12)) {
        fields.append((try scope.string(&record), try scope.field(&record)))
      }
      try record.finish()
      steps.append(
        Step(
          kind: kind, node: node, opType: opType, kindOfWork: works[work], reason: reason, layout: layout.name,
          inputs: slots[0], outputs: slots[1], fields: fields))
    }
    try cursor.finish()
    return steps
  }
}
