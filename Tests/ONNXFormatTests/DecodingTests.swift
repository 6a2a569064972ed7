import ONNXFormat
import ONNXGraph
import ONNXTensor
import Testing

@Suite struct DecodingTests {
  private func decode(_ bytes: [UInt8]) throws -> Model { try ModelDecoder.decode(bytes: bytes) }

  @Test func aNestedGraphSeesTheGraphsAroundIt() throws {
    // outer: y = Relu(x); z = If(c) { then: w = Neg(y), v = Neg(nowhere) }
    let inner =
      Wire.field(1, Wire.node("Neg", ["y"], ["w"])) + Wire.field(1, Wire.node("Neg", ["nowhere"], ["v"]))
      + Wire.field(12, Wire.valueInfo("w")) + Wire.field(12, Wire.valueInfo("x"))
    let branch = Wire.field(1, "then_branch") + Wire.field(6, inner) + Wire.field(20, 5)
    let graph =
      Wire.field(1, Wire.node("If", ["c"], ["z"], Wire.field(5, branch)))
      + Wire.field(1, Wire.node("Relu", ["x"], ["y"])) + Wire.field(11, Wire.valueInfo("x"))
      + Wire.field(11, Wire.valueInfo("c")) + Wire.field(12, Wire.valueInfo("z"))
    let model = try decode(Wire.model(graph))
    let choice = model.graph.nodes[0], relu = model.graph.nodes[1]
    let body = try #require(choice.subgraphs.first)
    #expect(body.nodes[0].inputs[0] === relu.outputs[0])
    #expect(relu.outputs[0]?.uses.contains { $0.node === body.nodes[0] } == true)
    #expect(relu.outputs[0]?.producer === relu)
    #expect(body.outputs[0].value === body.nodes[0].outputs[0])
    #expect(body.outputs[1].value === model.graph.inputs[0].value)
    let dangling = try #require(body.nodes[1].inputs[0])
    #expect(dangling.name == "nowhere" && dangling.producer == nil)
    #expect(try ModelEncoder.bytes(of: model) == Wire.model(graph))
  }

  @Test func anInnerDefinitionHidesAnOuterOne() throws {
    let inner = Wire.field(1, Wire.node("Neg", ["x"], ["y"])) + Wire.field(1, Wire.node("Abs", ["y"], ["w"]))
    let branch = Wire.field(1, "body") + Wire.field(6, inner) + Wire.field(20, 5)
    let graph =
      Wire.field(1, Wire.node("Relu", ["x"], ["y"]))
      + Wire.field(1, Wire.node("Loop", ["", "", "y"], ["z", ""], Wire.field(5, branch)))
      + Wire.field(11, Wire.valueInfo("x"))
    let model = try decode(Wire.model(graph))
    let body = try #require(model.graph.nodes[1].subgraphs.first)
    #expect(body.nodes[1].inputs[0] === body.nodes[0].outputs[0])
    #expect(body.nodes[1].inputs[0] !== model.graph.nodes[0].outputs[0])
    #expect(model.graph.nodes[1].inputs.map { $0?.name } == [nil, nil, "y"])
    #expect(model.graph.nodes[1].outputs.map { $0?.name } == ["z", nil])
  }

  @Test func aFunctionSeesItsOwnNamesOnly() throws {
    let function =
      Wire.field(1, "f") + Wire.field(4, "x") + Wire.field(5, "y")
      + Wire.field(7, Wire.node("Add", ["x", "w"], ["y"])) + Wire.field(10, "local")
    let graph =
      Wire.field(1, Wire.node("f", ["w"], ["y"], Wire.field(7, "local"))) + Wire.field(11, Wire.valueInfo("w"))
    let bytes = Wire.field(1, 8) + Wire.field(7, graph) + Wire.field(8, Wire.field(2, 17)) + Wire.field(25, function)
    let model = try decode(bytes)
    let body = try #require(model.function(domain: "local", name: "f", overload: nil)).body
    #expect(body.inputs[0].value === body.nodes[0].inputs[0])
    #expect(body.nodes[0].inputs[1] !== model.graph.inputs[0].value)
    #expect(body.outputs[0].value.producer === body.nodes[0])
    #expect(try ModelEncoder.bytes(of: model) == bytes)
  }

  /// Attributes as odd writers leave them, each with what it must mean.
  @Test func attributesKeepWhatTheFileSays() throws {
    func roundTrip(_ attribute: [UInt8]) throws -> Attribute {
      let bytes = Wire.model(Wire.field(1, Wire.node("Op", ["x"], ["y"], Wire.field(5, attribute))))
      let model = try decode(bytes)
      #expect(try ModelEncoder.bytes(of: model).sorted() == bytes.sorted(), "all bytes come back, in canonical order")
      let again = try decode(ModelEncoder.bytes(of: model))
      #expect(try ModelEncoder.bytes(of: again) == ModelEncoder.bytes(of: model))
      return try #require(model.graph.nodes[0].attributes.first)
    }
    let name = Wire.field(1, "axis")
    // A type without a value: writers that drop zeros.
    var attribute = try roundTrip(name + Wire.field(20, 2))
    if case .int(0) = attribute.payload {} else { Issue.record("\(attribute.payload)") }
    // A value without a type: files of IR version 1.
    attribute = try roundTrip(name + Wire.field(3, 7))
    if case .int(7) = attribute.payload {} else { Issue.record("\(attribute.payload)") }
    #expect(attribute.type == nil)
    // A present zero stays present.
    attribute = try roundTrip(name + Wire.field(3, 0) + Wire.field(20, 2))
    #expect(!attribute.isDefaultOmitted)
    // Two values: the type decides, the other one is kept.
    attribute = try roundTrip(
      name + Wire.field(2, float: 1.5) + Wire.field(3, 7) + Wire.field(8, 3) + Wire.field(20, 2))
    if case .int(7) = attribute.payload {} else { Issue.record("\(attribute.payload)") }
    #expect(attribute.unknownFields.count == 2)
    // A reference has no value.
    attribute = try roundTrip(name + Wire.field(20, 2) + Wire.field(21, "caller"))
    if case .none = attribute.payload {} else { Issue.record("\(attribute.payload)") }
    // A type that this version does not know.
    attribute = try roundTrip(name + Wire.field(20, 99))
    #expect(attribute.type == 99)
    // An empty name is not an absent one.
    #expect(try roundTrip(Wire.field(1, "") + Wire.field(20, 2)).name.isEmpty)
  }

  @Test func unknownFieldsSurviveEverywhere() throws {
    let unknown = Wire.field(1000, "kept") + Wire.field(1001, -1) + Wire.field(1002, float: 2)
    let dimension = Wire.field(1, 3) + unknown
    let shape = Wire.field(1, dimension) + unknown
    let type = Wire.field(1, Wire.field(1, 1) + Wire.field(2, shape) + unknown) + unknown
    let info = Wire.field(1, "x") + Wire.field(2, type) + Wire.field(4, Wire.field(1, "k") + unknown) + unknown
    let tensor =
      Wire.field(1, 2) + Wire.field(2, 3) + Wire.field(3, Wire.field(1, 0) + unknown) + Wire.field(8, "w")
      + Wire.field(9, [1, 2]) + unknown
    let sparse = Wire.field(1, tensor) + Wire.field(3, 9) + unknown
    let attribute = Wire.field(1, "a") + Wire.field(5, tensor) + Wire.field(20, 4) + unknown
    let node = Wire.node(
      "Op", ["x"], ["y"], Wire.field(5, attribute) + Wire.field(10, Wire.field(1, "c") + unknown) + unknown)
    let graph =
      Wire.field(1, node) + Wire.field(5, tensor) + Wire.field(11, info)
      + Wire.field(14, Wire.field(1, "x") + unknown) + Wire.field(15, sparse) + unknown
    let function = Wire.field(1, "f") + Wire.field(7, node) + Wire.field(9, Wire.field(2, 1) + unknown) + unknown
    let training = Wire.field(1, graph) + unknown
    let bytes =
      Wire.field(1, 8) + Wire.field(7, graph) + Wire.field(8, Wire.field(2, 17) + unknown)
      + Wire.field(20, training) + Wire.field(25, function) + Wire.field(26, Wire.field(1, "d") + unknown) + unknown
    let model = try decode(bytes)
    #expect(try ModelEncoder.bytes(of: model) == bytes)
    #expect(model.graph.initializers[0].literal.raw?.bytes.elementsEqual([1, 2]) == true)
  }

  @Test func everyKindOfTypeComesBack() throws {
    let float = Wire.field(1, Wire.field(1, 1))
    let types: [[UInt8]] = [
      [], float, Wire.field(4, Wire.field(1, float)), Wire.field(4, []), Wire.field(9, Wire.field(1, float)),
      Wire.field(5, Wire.field(1, 8) + Wire.field(2, float)), Wire.field(7, Wire.field(1, "d") + Wire.field(2, "n")),
      Wire.field(8, Wire.field(1, 1) + Wire.field(2, [])), Wire.field(6, "IMAGE") + Wire.field(7, []),
      Wire.field(
        1,
        Wire.field(
          2,
          Wire.field(1, Wire.field(2, "")) + Wire.field(1, []) + Wire.field(1, Wire.field(1, -1) + Wire.field(3, "N")))),
    ]
    let graph = types.enumerated().flatMap { Wire.field(11, Wire.field(1, "x\($0)") + Wire.field(2, $1)) }
    let again = try ModelEncoder.bytes(of: decode(Wire.model(graph)))
    // protobuf-c writes `denotation` before the opaque type, whose number is higher.
    #expect(again == Wire.model(graph))
  }

  @Test func rawDataIsAViewOfTheBytes() throws {
    let payload = [UInt8](repeating: 7, count: 100_000)
    let tensor = Wire.field(1, payload.count) + Wire.field(2, 2) + Wire.field(8, "w") + Wire.field(9, payload)
    let bytes = ByteView(Wire.model(Wire.field(5, tensor)))
    let model = try ModelDecoder.decode(bytes, path: nil)
    let raw = try #require(model.graph.initializers[0].literal.raw)
    let base = try #require(raw.bytes.baseAddress), start = try #require(bytes.bytes.baseAddress)
    #expect(base > start && base < start + bytes.count && raw.count == payload.count)
    let sharesOwner = raw.owner === bytes.owner
    #expect(sharesOwner)
  }

  /// Four 6-bit elements to three bytes: the bytes are those that the onnx package writes for codes 1, 2, 3, 63, 33.
  @Test func sixBitFloatsArePacked() throws {
    let packed: [UInt8] = [0x81, 0x30, 0xFC, 0x21]
    let wire = Wire.field(1, 5) + Wire.field(2, 27) + Wire.field(9, packed)
    let tensor = try #require(try ValueFile.decode(ByteView(wire), kind: .tensor).value.tensor)
    #expect(tensor.storedCodes == [1, 2, 3, 63, 33])
    let again = try ValueFile.encode(tensor, name: nil)
    #expect(again == wire)
  }
}
