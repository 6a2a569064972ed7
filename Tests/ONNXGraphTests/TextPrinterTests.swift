import ONNXGraph
import ONNXTensor
import TestSupport
import Testing

/// The golden texts were read back by `onnx.parser` when they were written; no test repeats that.
struct TextPrinterTests {
  @Test func everyConstruct() throws {
    var builder = GraphBuilder(opset: 21, irVersion: 10)
    builder.model.producerName = "a \"name\""
    builder.model.setMetadata("key", "value \\ 1")
    builder.model.opsetImports.append(OpsetImport(domain: "com.example", version: 1))
    builder.input("x", [-1, 3])
    builder.input("float", [])
    builder.graph.inputs[0].info.type = ValueType(
      .tensor(
        .init(elementType: 1, shape: [.init(.parameter("N")), .init(.value(3)), .init(.unknown)])))
    builder.constant("small", Tensor([Float(1), -0.5, .infinity, .nan], shape: [2, 2]))
    builder.constant("large", Tensor((0..<17).map { Int64($0) }, shape: [17]))
    builder.constant("half", Tensor([Float16(1)], shape: [1]))
    builder.constant("nibbles", Tensor(codes: [1, 2, 15], elementType: .int4, shape: [3]))
    builder.constant("words", Tensor(strings: [Array("a".utf8), Array("b\"".utf8)], shape: [2]))
    let body = Graph(name: "then branch")
    let inner = Value("inner:0", type: .tensor(.float32, [1]))
    body.append(Node("Identity", inputs: [builder.value("x")], outputs: [inner]))
    body.outputs.append(Graph.Port(inner))
    builder.node(
      "Example", ["x", "", "small", ""], ["", "y"], name: "node 1",
      [
        Attribute("a", int: -1), Attribute("b", float: 1), Attribute("c", ints: []),
        Attribute("d", floats: [1.5, .nan]),
        Attribute("e", string: "text"), Attribute("f", .strings([Array("s".utf8)])),
        Attribute("g", tensor: Tensor(scalar: Int8(-3))), Attribute("h", .graph(body)),
        Attribute("i", .type(ValueType(.sequence(.tensor(.int64, nil))))),
      ])
    builder.graph.nodes[0].domain = "com.example"
    builder.graph.valueInfos = [Graph.Port(Value("y", type: .tensor(.float32, nil)))]
    builder.output("y", [1])
    let function = Function(body: Graph(name: "f"))
    function.name = "f"
    function.domain = "com.example"
    function.attributes = ["k"]
    function.opsetImports = [OpsetImport(domain: "", version: 21)]
    let (u, v) = (Value("u"), Value("v"))
    function.body.inputs = [Graph.Port(u)]
    function.body.outputs = [Graph.Port(v)]
    var reference = Attribute("alpha", .none)
    reference.type = 1
    reference.referenceName = "k"
    function.body.append(Node("Elu", inputs: [u], outputs: [v], attributes: [reference]))
    builder.model.functions = [function]
    #expect(try Golden.difference(TextPrinter.text(builder.model), "text-every-construct") == nil)
    #expect(
      try Golden.difference(TextPrinter.text(builder.model, elementLimit: nil), "text-every-construct-full") == nil)
  }
}
