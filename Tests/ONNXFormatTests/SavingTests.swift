import FoundationEssentials
import Glibc
import ONNXFormat
import ONNXGraph
import ONNXTensor
import TestSupport
import Testing

@Suite struct SavingTests {
  @Test func anUntouchedModelIsCopiedByteForByte() throws {
    let folder = try TestFiles.scratch("saving")
    let original = try contents(of: TestFiles.fixture("digits/digits.onnx"))
    try write(original, to: "\(folder)/m.onnx")
    let model = try ModelDecoder.load(path: "\(folder)/m.onnx")
    let written = try ModelEncoder.save(model, to: "\(folder)/out.onnx")
    #expect(written.isCopy)
    #expect(try contents(of: "\(folder)/out.onnx") == original)

    // Fields in another order than protobuf's libraries write them.
    let odd = Wire.field(8, Wire.field(2, 17)) + Wire.field(7, Wire.field(2, "g")) + Wire.field(1, 8)
    try write(odd, to: "\(folder)/odd.onnx")
    let oddModel = try ModelDecoder.load(path: "\(folder)/odd.onnx")
    #expect(try ModelEncoder.save(oddModel, to: "\(folder)/odd2.onnx").isCopy)
    #expect(try contents(of: "\(folder)/odd2.onnx") == odd)
    oddModel.graph.name = "h"
    #expect(try ModelEncoder.save(oddModel, to: "\(folder)/odd2.onnx").isCopy == false)
    #expect(try ModelDecoder.load(path: "\(folder)/odd2.onnx").graph.name == "h")
    #expect(try contents(of: "\(folder)/odd.onnx") == odd)
  }

  @Test func aModelCanBeSavedOverItself() throws {
    let folder = try TestFiles.scratch("saving")
    let original = try contents(of: TestFiles.fixture("digits/digits.onnx"))
    try write(original, to: "\(folder)/m.onnx")
    chmod("\(folder)/m.onnx", 0o640)
    let model = try ModelDecoder.load(path: "\(folder)/m.onnx")
    model.graph.docString = "saved over itself"
    try ModelEncoder.save(model, to: "\(folder)/m.onnx")
    let again = try ModelDecoder.load(path: "\(folder)/m.onnx")
    #expect(again.graph.docString == "saved over itself")
    #expect(again.graph.nodes.count == model.graph.nodes.count)
    let permissions = try FileManager.default.attributesOfItem(atPath: "\(folder)/m.onnx")[.posixPermissions] as? Int
    #expect(permissions == 0o640)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["m.onnx"])
    // The mapped source outlives its name.
    #expect(model.source?.bytes.bytes.elementsEqual(original) == true)
  }

  @Test func whatCannotBeWrittenLeavesTheOldFile() throws {
    let folder = try TestFiles.scratch("saving")
    try write([1, 2, 3], to: "\(folder)/old.onnx")
    let graph = Graph(name: "bad\u{0}name")
    let model = Model(graph: graph)
    model.setOpset(17)
    #expect(throws: ModelFormatError.self) { try ModelEncoder.save(model, to: "\(folder)/old.onnx") }
    graph.name = "good"
    #expect(throws: ModelFormatError.self) { try ModelEncoder.save(model, to: "\(folder)/missing/m.onnx") }
    #expect(throws: ModelFormatError.self) { try ModelEncoder.save(model, to: folder) }
    #expect(try contents(of: "\(folder)/old.onnx") == [1, 2, 3])
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["old.onnx"])
    // A device is written, never replaced.
    try ModelEncoder.save(model, to: "/dev/null")
    var status = stat()
    #expect(stat("/dev/null", &status) == 0 && status.st_mode & S_IFMT == S_IFCHR)
  }

  @Test func theIdentityIsThatOfTheContent() throws {
    #expect(
      Sha256.hexDigest(UnsafeRawBufferPointer(start: nil, count: 0))
        == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    let folder = try TestFiles.scratch("saving")
    let bytes = Wire.model(Wire.field(2, "g"))
    try write(bytes, to: "\(folder)/a.onnx")
    try write(bytes, to: "\(folder)/b.onnx")
    let a = try #require(try ModelDecoder.load(path: "\(folder)/a.onnx").identity)
    #expect(a == (try ModelDecoder.load(path: "\(folder)/b.onnx").identity))
    #expect(a.sha256 == bytes.withUnsafeBytes { Sha256.hexDigest($0) })
    // External data counts.
    func external(_ value: UInt8) throws -> ModelIdentity? {
      let tensor =
        Wire.field(1, 4) + Wire.field(2, 2) + Wire.field(13, Wire.field(1, "location") + Wire.field(2, "w"))
        + Wire.field(14, 1)
      try write([value, 0, 0, 0], to: "\(folder)/w")
      try write(Wire.model(Wire.field(5, tensor)), to: "\(folder)/e.onnx")
      return try ModelDecoder.load(path: "\(folder)/e.onnx").identity
    }
    #expect(try external(1) == external(1))
    #expect(try external(1) != external(2))
  }

  @Test func valuesOfAllKindsAreRead() throws {
    let tensor = Tensor([1, 2, 3] as [Float], shape: [3])
    let wire = try ValueFile.encode(tensor, name: "t")
    let single = try ValueFile.decode(ByteView(wire), kind: .tensor)
    #expect(single.name == "t" && single.value.tensor?.array(Float.self) == [1, 2, 3])

    let sequence = Wire.field(1, "s") + Wire.field(2, 1) + Wire.field(3, wire) + Wire.field(3, wire)
    guard case .sequence(let items) = try ValueFile.decode(ByteView(sequence), kind: .sequence).value else {
      throw Failure("not a sequence")
    }
    #expect(items.count == 2 && items[1].tensor?.shape == [3])

    guard
      case .optional(let some) = try ValueFile.decode(
        ByteView(Wire.field(2, 3) + Wire.field(5, sequence)), kind: .optional
      ).value,
      case .sequence(let inner) = some,
      case .optional(let none) = try ValueFile.decode(ByteView([UInt8]()), kind: .optional).value
    else { throw Failure("not an optional") }
    #expect(inner.count == 2 && none == nil)

    let map = Wire.field(2, 7) + Wire.field(3, 10) + Wire.field(3, 20) + Wire.field(5, sequence)
    guard case .map(let keys, .sequence(let values)) = try ValueFile.decode(ByteView(map), kind: .map).value else {
      throw Failure("not a map")
    }
    #expect(keys.array(Int64.self) == [10, 20] && values.count == 2)

    #expect(throws: ModelFormatError.self) { try ValueFile.decode(ByteView([0xFF]), kind: .tensor) }
    #expect(throws: ModelFormatError.self) {
      try ValueFile.decode(ByteView(Wire.field(1, 4) + Wire.field(2, 1) + Wire.field(9, [0])), kind: .tensor)
    }
  }
}
