import COnnx
import FoundationEssentials
import ONNXFormat
import ONNXGraph
import ONNXTensor
import TestSupport
import Testing

/// Decoding and encoding loses nothing: the trees that protobuf-c reads from both files are equal.
@Suite struct RoundTripTests {
  static func models() -> [String] {
    let folders = [TestFiles.root + "/Fixtures"] + (TestFiles.shared.map { [$0 + "/models"] } ?? [])
    var paths: [String] = []
    func visit(_ folder: String) {
      for name in (try? FileManager.default.contentsOfDirectory(atPath: folder))?.sorted() ?? [] {
        let path = "\(folder)/\(name)"
        if name.hasSuffix(".onnx") { paths.append(path) } else if !name.contains(".") { visit(path) }
      }
    }
    folders.forEach(visit)
    return paths
  }

  @Test(arguments: models()) func everyModelComesBackEqual(path: String) throws {
    let model = try ModelDecoder.load(path: path)
    defer { model.dismantle() }
    let original = try #require(model.source).bytes.bytes
    let encoded = try ModelEncoder.bytes(of: model)
    #expect(try equal(Array(original), encoded))
  }

  /// Names every file of one folder that another process prepared, saves each into a second folder: the official Python
  /// package compares them. Without the environment there is nothing to do.
  @Test func resaveForComparison() throws {
    let environment = ProcessInfo.processInfo.environment
    guard let from = environment["ONNXQ_RESAVE_FROM"], let to = environment["ONNXQ_RESAVE_TO"] else { return }
    var count = 0
    for name in try FileManager.default.contentsOfDirectory(atPath: from).sorted() where name.hasSuffix(".onnx") {
      do {
        let model = try ModelDecoder.load(path: "\(from)/\(name)", options: .init(externalData: .ifPresent))
        defer { model.dismantle() }
        try write(ModelEncoder.bytes(of: model), to: "\(to)/\(name)")
        count += 1
        try resaveValues(beside: name, of: model, from: from, to: to)
      } catch {
        Issue.record("\(name): \(error)")
      }
    }
    print("resaved \(count) models")
  }

  /// `NAME.onnx.input_0.pb`: decoded by the type of the model's input and, where it is a tensor, encoded again.
  private func resaveValues(beside name: String, of model: Model, from: String, to: String) throws {
    for (kind, ports) in [("input", model.graph.inputs), ("output", model.graph.outputs)] {
      for (index, port) in ports.enumerated() {
        let file = "\(name).\(kind)_\(index).pb"
        guard FileManager.default.fileExists(atPath: "\(from)/\(file)") else { continue }
        let value = try ValueFile.load(path: "\(from)/\(file)", kind: ValueFile.Kind(port.info.type))
        guard case .tensor(let tensor) = value.value else { continue }
        try write(ValueFile.encode(tensor, name: value.name), to: "\(to)/\(file)")
      }
    }
  }

  private func equal(_ a: [UInt8], _ b: [UInt8]) throws -> Bool {
    try a.withUnsafeBufferPointer { a in
      try b.withUnsafeBufferPointer { b in
        let first = try Unpacked(a), second = try Unpacked(b)
        return onnx_messages_equal(first.message, second.message) != 0
      }
    }
  }
}

private final class Unpacked {
  let message: UnsafeMutablePointer<ProtobufCMessage>
  private let arena: OpaquePointer?

  init(_ bytes: UnsafeBufferPointer<UInt8>) throws {
    var arena: OpaquePointer?
    var report = onnx_report()
    let message = onnx_unpack(onnx_model_type(), bytes.baseAddress, bytes.count, nil, &arena, &report)
    guard let message else { throw Failure(String(cString: onnx_status_text(report.status))) }
    self.message = message
    self.arena = arena
  }

  deinit { onnx_arena_free(arena) }
}
