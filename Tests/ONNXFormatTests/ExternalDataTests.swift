import FoundationEssentials
import Glibc
import ONNXFormat
import ONNXGraph
import ONNXTensor
import TestSupport
import Testing

@Suite struct ExternalDataTests {
  private static func entry(_ key: String, _ value: String) -> [UInt8] {
    Wire.field(13, Wire.field(1, key) + Wire.field(2, value))
  }

  /// A model with one float tensor `w` of `count` elements in `location`.
  private static func model(
    _ location: String, offset: String? = nil, length: String? = nil, count: Int = 4
  ) -> [UInt8] {
    let tensor =
      Wire.field(1, count) + Wire.field(2, 1) + Wire.field(8, "w") + entry("location", location)
      + (offset.map { entry("offset", $0) } ?? []) + (length.map { entry("length", $0) } ?? []) + Wire.field(14, 1)
    return Wire.model(Wire.field(5, tensor))
  }

  private func folder() throws -> String { try TestFiles.scratch("external") }

  private func error(_ folder: String, _ bytes: [UInt8]) throws -> ModelFormatError? {
    try write(bytes, to: "\(folder)/m.onnx")
    do throws(ModelFormatError) {
      _ = try ModelDecoder.load(path: "\(folder)/m.onnx")
      return nil
    } catch {
      return error
    }
  }

  @Test func offsetsAndLengthsAreChecked() throws {
    let folder = try folder()
    try write((0..<64).map(UInt8.init), to: "\(folder)/w.bin")
    try write(Self.model("w.bin", offset: "16", length: "16"), to: "\(folder)/m.onnx")
    let model = try ModelDecoder.load(path: "\(folder)/m.onnx")
    let literal = model.graph.initializers[0].literal
    #expect(literal.external?.bytes.elementsEqual((16..<32).map(UInt8.init)) == true)
    #expect(try literal.tensor().count == 4)
    // Without a length: what the dimensions need.
    #expect(try error(folder, Self.model("w.bin", offset: "48")) == nil)

    for (offset, length) in [
      ("65", nil), ("60", nil), ("0", "65"), ("48", "17"), ("-1", nil), ("x", "16"), ("0", "1e1"),
      ("9223372036854775808", nil),
    ] as [(String, String?)] {
      let error = try #require(try error(folder, Self.model("w.bin", offset: offset, length: length)))
      #expect(error.code == .externalData && error.description.contains("'w'"), "\(error)")
    }
    #expect(try error(folder, Self.model("w.bin", count: 1 << 50))?.code == .externalData)
    #expect(try error(folder, Wire.model(Wire.field(5, Wire.field(8, "w") + Wire.field(14, 1))))?.code == .externalData)
  }

  @Test func nothingOutsideTheFolderIsRead() throws {
    let outside = try folder()
    try write([UInt8](repeating: 0, count: 64), to: "\(outside)/secret")
    let folder = "\(outside)/model"
    #expect(mkdir(folder, 0o777) == 0)
    #expect(symlink("\(outside)/secret", "\(folder)/link") == 0)
    #expect(symlink("..", "\(folder)/up") == 0)
    #expect(mkfifo("\(folder)/pipe", 0o666) == 0)
    for location in [
      "../secret", "\(outside)/secret", "link", "up/secret", "a/../../secret", "", "pipe", ".", "missing",
      "sub/../../secret",
    ] {
      let error = try #require(try error(folder, Self.model(location)), "\(location)")
      #expect(error.code == .externalData, "\(location): \(error)")
    }
    // A link that stays inside is fine.
    try write([UInt8](repeating: 0, count: 64), to: "\(folder)/w.bin")
    #expect(symlink("w.bin", "\(folder)/inside") == 0)
    #expect(try error(folder, Self.model("inside")) == nil)
    #expect(try error(folder, Self.model("./w.bin")) == nil)
  }

  /// Download caches keep models and data as links into one folder of content-named files.
  @Test func aLinkedModelFindsDataBesideItsTarget() throws {
    let top = try folder()
    for name in ["blobs", "snapshot"] { #expect(mkdir("\(top)/\(name)", 0o777) == 0) }
    try write(Self.model("w.bin"), to: "\(top)/blobs/aaaa")
    try write([UInt8](repeating: 1, count: 16), to: "\(top)/blobs/bbbb")
    #expect(symlink("../blobs/aaaa", "\(top)/snapshot/m.onnx") == 0)
    #expect(symlink("../blobs/bbbb", "\(top)/snapshot/w.bin") == 0)
    let model = try ModelDecoder.load(path: "\(top)/snapshot/m.onnx")
    #expect(model.graph.initializers[0].literal.external?.count == 16)
  }

  @Test func missingDataIsAPolicy() throws {
    let folder = try folder()
    try write(Self.model("gone.bin"), to: "\(folder)/m.onnx")
    #expect(throws: ModelFormatError.self) { try ModelDecoder.load(path: "\(folder)/m.onnx") }
    for policy in [ModelDecoder.ExternalDataPolicy.ifPresent, .ignored] {
      let model = try ModelDecoder.load(path: "\(folder)/m.onnx", options: .init(externalData: policy))
      #expect(model.graph.initializers[0].literal.external == nil)
    }
  }

  @Test func twoGibibytesTakeMillisecondsAndMegabytes() throws {
    let folder = try folder()
    let tensors = 300, elements = 2_000_000
    let size = tensors * elements * 4
    let descriptor = open("\(folder)/w.bin", O_WRONLY | O_CREAT, 0o666)
    #expect(descriptor >= 0 && ftruncate(descriptor, size) == 0)
    close(descriptor)
    var graph: [UInt8] = []
    for index in 0..<tensors {
      graph += Wire.field(
        5,
        Wire.field(1, elements) + Wire.field(2, 1) + Wire.field(8, "w\(index)") + Self.entry("location", "w.bin")
          + Self.entry("offset", String(index * elements * 4)) + Self.entry("length", String(elements * 4))
          + Wire.field(14, 1))
    }
    try write(Wire.model(graph), to: "\(folder)/m.onnx")
    let before = try anonymousBytes()
    var model: Model?
    let time = try milliseconds { model = try ModelDecoder.load(path: "\(folder)/m.onnx") }
    let memory = try anonymousBytes() - before
    print("2.2 GiB of external data: \(time) ms, \(memory >> 10) KiB")
    #expect(time < 200 && memory < 32 << 20)
    #expect(model?.graph.initializers[299].literal.external?.count == elements * 4)
    // Saved beside its data, nothing is copied.
    let loaded = try #require(model)
    let written = try ModelEncoder.save(loaded, to: "\(folder)/again.onnx")
    #expect(written.isCopy && written.byteCount < 1 << 20 && written.dataPath == nil)
    unlink("\(folder)/w.bin")
  }

  @Test func weightsStayWhereTheyAreOrAreCopied() throws {
    let top = try folder()
    let inner = "\(top)/inner", other = try folder()
    #expect(mkdir(inner, 0o777) == 0)
    let payload = (0..<4096).map { UInt8($0 % 251) }
    try write(payload, to: "\(inner)/w.bin")
    try write(Self.model("w.bin", count: 1024), to: "\(inner)/m.onnx")
    let model = try ModelDecoder.load(path: "\(inner)/m.onnx")
    model.graph.name = "changed"

    // Beside the source: the location stays.
    try ModelEncoder.save(model, to: "\(inner)/same.onnx")
    let same = try ModelDecoder.load(path: "\(inner)/same.onnx")
    #expect(same.graph.name == "changed")
    #expect(same.graph.initializers[0].literal.externalData[0].value == "w.bin")

    // Above it: a path that leads down.
    try ModelEncoder.save(model, to: "\(top)/above.onnx")
    let above = try ModelDecoder.load(path: "\(top)/above.onnx")
    #expect(above.graph.initializers[0].literal.externalData[0].value == "inner/w.bin")
    #expect(above.graph.initializers[0].literal.external?.bytes.elementsEqual(payload) == true)

    // Elsewhere: refused, and nothing is left behind.
    #expect(throws: ModelFormatError.self) { try ModelEncoder.save(model, to: "\(other)/m.onnx") }
    #expect(try FileManager.default.contentsOfDirectory(atPath: other).isEmpty)

    // Copied: a data file named by its content.
    let written = try ModelEncoder.save(model, to: "\(other)/m.onnx", options: .init(externalData: .copy))
    let data = try #require(written.dataPath)
    #expect(data.hasPrefix("\(other)/m.onnx.") && data.hasSuffix(".data"))
    let copied = try ModelDecoder.load(path: "\(other)/m.onnx")
    #expect(copied.graph.initializers[0].literal.external?.bytes.elementsEqual(payload) == true)
    #expect(try FileManager.default.contentsOfDirectory(atPath: other).count == 2)
    // The model in memory is as it was.
    #expect(model.graph.initializers[0].literal.externalData[0].value == "w.bin")
  }

  @Test func weightsOfALongModelMoveOut() throws {
    let folder = try folder()
    let payload = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    let small = (0..<16).map(UInt8.init)
    let graph = Graph(name: "g")
    graph.addInitializer(named: "large", Tensor(payload, shape: [payload.count]))
    graph.addInitializer(named: "second", Tensor(payload, shape: [payload.count]))
    graph.addInitializer(named: "small", Tensor(small, shape: [16]))
    let model = Model(graph: graph)
    model.irVersion = 8
    model.setOpset(17)
    let written = try ModelEncoder.save(model, to: "\(folder)/m.onnx", options: .init(longestFile: 50_000))
    #expect(written.dataPath != nil && written.byteCount < 2000)
    let again = try ModelDecoder.load(path: "\(folder)/m.onnx")
    for (item, expected) in zip(again.graph.initializers, [payload, payload, small]) {
      #expect(try item.literal.tensor().array(UInt8.self) == expected)
      #expect(item.literal.isExternal == (expected.count > 1000))
    }
    #expect(again.graph.initializers[1].literal.externalData[1].value == "102400")
    // The same model gives the same bytes under the same names.
    let twice = try ModelEncoder.save(model, to: "\(folder)/m.onnx", options: .init(longestFile: 50_000))
    #expect(twice.dataPath == written.dataPath)
  }
}
