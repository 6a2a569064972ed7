import ONNXGraph
import ONNXTensor
import QuantPasses
import TestSupport
import Testing

/// How a tensor is quantized.
private struct Grid {
  var type = ElementType.uint8
  var scales: [Float] = [0.1]
  var points: [Int] = [0]
  var hasPoint = true
  var axis: Int?

  static let uint8 = Grid()
  static let int8 = Grid(type: .int8)

  static func int8(_ scale: Float) -> Grid { Grid(type: .int8, scales: [scale]) }

  static func tensor(_ values: [Int], _ type: ElementType, _ shape: [Int]) -> Tensor {
    switch type {
    case .int16: Tensor(values.map { Int16($0) }, shape: shape)
    case .uint16: Tensor(values.map { UInt16($0) }, shape: shape)
    case .int32: Tensor(values.map { Int32($0) }, shape: shape)
    default: Tensor(values.map { UInt8(truncatingIfNeeded: $0) }, shape: shape, as: type)
    }
  }

  var scale: Tensor { Tensor(scales, shape: scales.count == 1 ? [] : [scales.count]) }
  var point: Tensor { Self.tensor(points, type, points.count == 1 ? [] : [points.count]) }
  var attributes: [Attribute] { axis.map { [Attribute("axis", int: $0)] } ?? [] }
}

extension GraphBuilder {
  private mutating func operands(_ name: String, _ grid: Grid) -> [String] {
    constant("\(name)_scale", grid.scale)
    guard grid.hasPoint else { return ["\(name)_scale"] }
    constant("\(name)_point", grid.point)
    return ["\(name)_scale", "\(name)_point"]
  }

  /// Q and DQ behind a tensor; the DQ's output is `name`.
  fileprivate mutating func pair(_ input: String, _ name: String, _ grid: Grid = .uint8, back: Grid? = nil) {
    let first = operands(name, grid)
    node("QuantizeLinear", [input] + first, ["\(name)_codes"], name: "\(name).q", grid.attributes)
    let second = back.map { operands("\(name)_back", $0) } ?? first
    node("DequantizeLinear", ["\(name)_codes"] + second, [name], name: "\(name).dq", (back ?? grid).attributes)
  }

  /// A constant stored in integers; the DQ's output is `name`.
  fileprivate mutating func stored(_ name: String, _ shape: [Int], _ grid: Grid = .int8(0.01), code: Int = 100) {
    let codes = [Int](repeating: code, count: shape.reduce(1, *))
    constant("\(name)_codes", Grid.tensor(codes, grid.type, shape))
    node("DequantizeLinear", ["\(name)_codes"] + operands(name, grid), [name], name: "\(name).dq", grid.attributes)
  }

  /// x → Q/DQ → Conv with a stored weight → Q/DQ → y.
  fileprivate mutating func network(
    _ data: Grid = .uint8, weight: Grid = .int8(0.01), output: Grid? = nil, code: Int = 100, bias: [String] = []
  ) {
    input("x", [1, 4, 4, 4])
    pair("x", "xd", data)
    stored("w", [4, 4, 1, 1], weight, code: code)
    node("Conv", ["xd", "w"] + bias, ["c"], name: "conv")
    pair("c", "y", output ?? data)
    self.output("y")
  }
}

/// Every rule of lint on a model that breaks it and on one that does not.
struct LintRuleTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let rule: String
    let target: String
    var opset = 17
    let breaks: @Sendable (inout GraphBuilder) -> Void
    let keeps: @Sendable (inout GraphBuilder) -> Void
    var testDescription: String { "\(rule) for \(target)" }

    init(
      _ rule: String, _ target: String, opset: Int = 17, breaks: @escaping @Sendable (inout GraphBuilder) -> Void,
      keeps: @escaping @Sendable (inout GraphBuilder) -> Void
    ) {
      (self.rule, self.target, self.opset, self.breaks, self.keeps) = (rule, target, opset, breaks, keeps)
    }
  }

  private static func soundSigned(_ builder: inout GraphBuilder) { builder.network(.int8) }

  private static func product(_ b: inout GraphBuilder, _ first: Grid, _ second: Grid) {
    b.input("x", [4, 4])
    b.input("z", [4, 4])
    b.pair("x", "xd", first)
    b.pair("z", "zd", second)
    b.node("MatMul", ["xd", "zd"], ["y"], name: "product")
    b.output("y")
  }

  private static func transposed(_ b: inout GraphBuilder, _ data: Grid, _ weight: Grid = .int8(0.01)) {
    b.input("x", [1, 4, 4, 4])
    b.pair("x", "xd", data)
    b.stored("w", [4, 4, 2, 2], weight)
    b.node("ConvTranspose", ["xd", "w"], ["y"], name: "up")
    b.output("y")
  }

  private static func deepActivation(_ b: inout GraphBuilder, _ opType: String) {
    b.network(.int8)
    b.node(opType, ["y"], ["r"])
    b.graph.outputs = []
    b.output("r")
  }

  private static func joined(_ b: inout GraphBuilder, _ second: Grid) {
    b.input("x", [1, 4])
    b.input("z", [1, 4])
    b.pair("x", "xd", .int8)
    b.pair("z", "zd", second)
    b.node("Concat", ["xd", "zd"], ["y"], [Attribute("axis", int: 1)])
    b.output("y")
  }

  private static func between(
    _ b: inout GraphBuilder, _ opType: String, _ data: Grid = .uint8, _ output: Grid? = nil,
    _ attributes: [Attribute] = []
  ) {
    b.input("x", [1, 4, 4, 4])
    b.pair("x", "xd", data)
    b.node(opType, ["xd"], ["m"], name: "node", attributes)
    b.pair("m", "y", output ?? data)
    b.output("y")
  }

  private static let hygiene: [Case] = [
    Case("QDQ001", "integer") {
      $0.network(Grid(scales: [0]))
    } keeps: {
      $0.network()
    },
    Case("QDQ002", "integer") {
      $0.network(Grid(scales: [.leastNonzeroMagnitude]))
    } keeps: {
      $0.network()
    },
    Case("QDQ003", "integer") {
      $0.input("x", [4])
      $0.pair("x", "a", .int8)
      $0.pair("a", "y", .int8(0.2))
      $0.output("y")
    } keeps: {
      $0.network()
    },
    Case("QDQ003", "qnn") {
      $0.input("x", [4])
      $0.pair("x", "a")
      $0.pair("a", "y", Grid(scales: [0.2]))
      $0.output("y")
    } keeps: {
      // Eight bits become sixteen.
      $0.input("x", [4])
      $0.pair("x", "a")
      $0.pair("a", "y", Grid(type: .uint16, scales: [0.0004]))
      $0.output("y")
    },
    Case("QDQ004", "integer") {
      $0.input("x", [4])
      $0.pair("x", "a", .int8)
      $0.pair("a", "y", .int8)
      $0.output("y")
    } keeps: {
      $0.network()
    },
    Case("QDQ005", "integer") {
      $0.network()
      $0.pair("c", "unread")
    } keeps: {
      $0.network()
    },
    Case("QDQ006", "integer") {
      $0.network(weight: Grid(type: .int8, scales: [1, 2, 3], points: [0, 0, 0], axis: 0))
    } keeps: {
      $0.network(weight: Grid(type: .int8, scales: [1, 2, 3, 4], points: [0, 0, 0, 0], axis: 0))
    },
    Case("QDQ007", "integer") {
      $0.input("x", [4])
      $0.input("indices", [2])
      $0.pair("indices", "i")
      $0.node("Gather", ["x", "i"], ["y"])
      $0.output("y")
    } keeps: {
      $0.network()
    },
    Case("QDQ008", "integer") {
      $0.network(code: 20)
    } keeps: {
      $0.network()
    },
    Case("QDQ009", "integer") {
      $0.input("x", [1, 4, 4, 4])
      $0.pair("x", "xd")
      $0.weight("w", [4, 4, 1, 1])
      $0.pair("w", "wd", .int8)
      $0.node("Conv", ["xd", "wd"], ["y"])
      $0.output("y")
    } keeps: {
      $0.network()
    },
    Case("QDQ010", "integer") {
      $0.network()
      $0.weight("fw", [4, 4, 1, 1])
      $0.stored("w2", [4, 4, 1, 1])
      $0.node("Conv", ["xd", "w"], ["a"], name: "before")
      $0.node("Conv", ["a", "fw"], ["b"], name: "hole")
      $0.pair("b", "bd")
      $0.node("Conv", ["bd", "w2"], ["z"], name: "behind")
      $0.output("z")
    } keeps: {
      $0.network()
    },
    Case("QDQ011", "integer") {
      $0.network()
      $0.node("Neg", ["c"], ["z"])
      $0.output("z")
    } keeps: {
      $0.network()
    },
    Case("QDQ012", "integer") {
      $0.network(Grid(hasPoint: false))
    } keeps: {
      $0.network()
    },
    Case("QDQ013", "integer") {
      $0.network(weight: Grid(type: .int8, scales: [1, 1, 1, 1], points: [0, 0], axis: 0))
    } keeps: {
      $0.network()
    },
  ]

  private static let onnxRuntime: [Case] = [
    Case("ORT001", "onnxruntime") {
      $0.input("x", [1, 4, 4, 4])
      $0.input("z", [1, 4, 4, 4])
      $0.pair("x", "xd")
      $0.node("Add", ["xd", "z"], ["a"], name: "add")
      $0.pair("a", "y")
      $0.output("y")
    } keeps: {
      $0.input("x", [1, 4, 4, 4])
      $0.input("z", [1, 4, 4, 4])
      $0.pair("x", "xd")
      $0.pair("z", "zd")
      $0.node("Add", ["xd", "zd"], ["a"], name: "add")
      $0.pair("a", "y")
      $0.output("y")
    },
    Case("ORT002", "onnxruntime") {
      $0.network()
      $0.output("c")
    } keeps: {
      $0.network()
    },
    Case("ORT003", "onnxruntime") {
      $0.input("x", [1, 4, 4, 4])
      $0.pair("x", "xd")
      $0.stored("w", [4, 4, 1, 1])
      $0.node("Conv", ["xd", "w"], ["c"], name: "conv")
      $0.node("Relu", ["c"], ["r"])
      $0.pair("r", "y", Grid(points: [7]))
      $0.output("y")
    } keeps: {
      $0.input("x", [1, 4, 4, 4])
      $0.pair("x", "xd")
      $0.stored("w", [4, 4, 1, 1])
      $0.node("Conv", ["xd", "w"], ["c"], name: "conv")
      $0.node("Relu", ["c"], ["r"])
      $0.pair("r", "y")
      $0.output("y")
    },
    Case("ORT004", "onnxruntime-arm64") {
      $0.network(.int8, weight: Grid(scales: [0.01]))
    } keeps: {
      $0.network(.int8)
    },
    Case("ORT005", "onnxruntime") {
      $0.input("b", [4])
      $0.network(bias: ["b"])
    } keeps: {
      $0.stored("b", [4], Grid(type: .int32, scales: [0.001]))
      $0.network(bias: ["b"])
    },
    Case("ORT006", "onnxruntime") {
      between(&$0, "Transpose", .uint8, Grid(scales: [0.2]), [Attribute("perm", ints: [0, 2, 3, 1])])
    } keeps: {
      between(&$0, "Transpose", .uint8, nil, [Attribute("perm", ints: [0, 2, 3, 1])])
    },
    Case("ORT007", "onnxruntime", opset: 21) {
      between(&$0, "Sigmoid", Grid(type: .uint16))
    } keeps: {
      between(&$0, "Sigmoid")
    },
    Case("ORT008", "onnxruntime") {
      between(&$0, "Tanh")
    } keeps: {
      between(&$0, "Sigmoid")
    },
    Case("ORT009", "onnxruntime") {
      $0.network(.int8)
      $0.stored("w2", [4, 4, 1, 1])
      $0.node("Conv", ["xd", "w2"], ["c2"], name: "second")
      $0.pair("c2", "z", .uint8)
      $0.output("z")
    } keeps: {
      $0.network()
    },
    Case("ORT010", "onnxruntime") {
      $0.input("x", [4, 4])
      $0.pair("x", "xd")
      $0.stored("w", [4, 4], Grid(type: .int8, scales: [1, 2, 3, 4], points: [0, 0, 0, 0], axis: 0))
      $0.node("MatMul", ["xd", "w"], ["m"], name: "product")
      $0.pair("m", "y")
      $0.output("y")
    } keeps: {
      $0.input("x", [4, 4])
      $0.pair("x", "xd")
      $0.stored("w", [4, 4], Grid(type: .int8, scales: [1, 2, 3, 4], points: [0, 0, 0, 0], axis: 1))
      $0.node("MatMul", ["xd", "w"], ["m"], name: "product")
      $0.pair("m", "y")
      $0.output("y")
    },
    Case("ORT012", "onnxruntime-avx2") {
      $0.network(code: 100)
    } keeps: {
      $0.network(code: 64)
    },
  ]

  private static let tensorRT: [Case] = [
    Case("TRT001", "tensorrt") {
      $0.network(Grid(type: .int8, points: [3]))
    } keeps: {
      soundSigned(&$0)
    },
    Case("TRT002", "tensorrt") {
      $0.network(weight: Grid(type: .int8, scales: [1, 1, 1, 1], points: [0, 0], axis: 0))
    } keeps: {
      soundSigned(&$0)
    },
    Case("TRT003", "tensorrt") {
      $0.network()
    } keeps: {
      soundSigned(&$0)
    },
    Case("TRT004", "tensorrt") {
      $0.network(Grid(hasPoint: false))
    } keeps: {
      soundSigned(&$0)
    },
    Case("TRT005", "tensorrt") {
      $0.network(.int8(-1))
    } keeps: {
      soundSigned(&$0)
    },
    Case("TRT006", "tensorrt", opset: 21) {
      $0.input("x", [2, 4])
      $0.pair("x", "xd", .int8)
      $0.constant("codes", Grid.tensor([Int](repeating: 100, count: 16), .int8, [4, 4]))
      $0.constant("scale", Tensor([Float](repeating: 0.1, count: 8), shape: [2, 4]))
      $0.constant("point", Grid.tensor([Int](repeating: 0, count: 8), .int8, [2, 4]))
      $0.node(
        "DequantizeLinear", ["codes", "scale", "point"], ["w"],
        [Attribute("axis", int: 0), Attribute("block_size", int: 2)])
      $0.node("MatMul", ["xd", "w"], ["y"])
      $0.output("y")
    } keeps: {
      soundSigned(&$0)
    },
    Case("TRT007", "tensorrt") {
      $0.network(Grid(type: .int8, scales: [1, 2, 3, 4], points: [0, 0, 0, 0], axis: 1))
    } keeps: {
      soundSigned(&$0)
    },
    Case("TRT008", "tensorrt") {
      $0.stored("b", [4], Grid(type: .int32, scales: [0.001]))
      $0.network(.int8, bias: ["b"])
    } keeps: {
      $0.weight("b", [4])
      $0.network(.int8, bias: ["b"])
    },
    Case("TRT009", "tensorrt") {
      $0.input("x", [4, 4])
      $0.node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"])
      $0.node("DequantizeLinear", ["q", "s", "z"], ["y"])
      $0.output("y")
    } keeps: {
      soundSigned(&$0)
    },
    Case("TRT010", "tensorrt", opset: 12) {
      $0.network(.int8, weight: Grid(type: .int8, scales: [1, 2, 3, 4], points: [0, 0, 0, 0], axis: 0))
    } keeps: {
      soundSigned(&$0)
    },
    Case("TRT011", "tensorrt") {
      $0.input("x", [])
      $0.pair("x", "y", .int8)
      $0.output("y")
    } keeps: {
      soundSigned(&$0)
    },
    Case("TRT012", "tensorrt") {
      $0.network(.int8, weight: Grid(type: .int8, scales: [1, 2, 3, 4], points: [0, 0, 0, 0], axis: 1))
    } keeps: {
      $0.network(.int8, weight: Grid(type: .int8, scales: [1, 2, 3, 4], points: [0, 0, 0, 0], axis: 0))
    },
    Case("TRT013", "tensorrt") {
      $0.input("x", [4])
      $0.pair("x", "y", .int8, back: .int8(0.2))
      $0.output("y")
    } keeps: {
      soundSigned(&$0)
    },
    Case("TRT014", "tensorrt") {
      $0.network(.int8)
      $0.node("Conv", ["xd", "w"], ["z"], name: "second")
      $0.output("z")
    } keeps: {
      soundSigned(&$0)
    },
    Case("TRT101", "tensorrt") {
      $0.input("x", [1, 4, 4, 4])
      $0.stored("w", [4, 4, 1, 1])
      $0.node("Conv", ["x", "w"], ["y"], name: "conv")
      $0.output("y")
    } keeps: {
      soundSigned(&$0)
    },
    Case("TRT103", "tensorrt") {
      deepActivation(&$0, "Relu")
    } keeps: {
      // Others read the sum as well: there is nothing to fuse.
      deepActivation(&$0, "Relu")
      $0.node("Tanh", ["c"], ["t"])
      $0.output("t")
    },
    Case("TRT104", "tensorrt") {
      $0.network(.int8)
      $0.node("Add", ["y", "xd"], ["sum"], name: "add")
      $0.output("sum")
    } keeps: {
      $0.network(.int8)
      $0.node("Add", ["c", "xd"], ["sum"], name: "add")
      $0.output("sum")
    },
    Case("TRT107", "tensorrt") {
      $0.network(.int8)
      $0.pair("x", "other", .int8(0.2))
      $0.output("other")
    } keeps: {
      soundSigned(&$0)
    },
    Case("TRT108", "tensorrt") {
      joined(&$0, .int8(0.2))
    } keeps: {
      joined(&$0, .int8)
    },
    Case("TRT109", "tensorrt") {
      $0.input("x", [1, 4, 4, 4])
      $0.constant("pads", Tensor([Int64(0), 0, 1, 1, 0, 0, 1, 1], shape: [8]))
      $0.node("Pad", ["x", "pads"], ["p"])
      $0.pair("p", "pd", .int8)
      $0.stored("w", [4, 4, 1, 1])
      $0.node("Conv", ["pd", "w"], ["y"])
      $0.output("y")
    } keeps: {
      soundSigned(&$0)
    },
    Case("TRT110", "tensorrt") {
      between(&$0, "Softmax", .int8)
    } keeps: {
      between(&$0, "AveragePool", .int8, nil, [Attribute("kernel_shape", ints: [2, 2])])
    },
    // The accelerator wants a scale on every tensor that no activation absorbs.
    Case("TRT103", "tensorrt-dla") {
      deepActivation(&$0, "Relu")
    } keeps: {
      deepActivation(&$0, "LeakyRelu")
    },
    Case("TRT108", "tensorrt-dla") {
      joined(&$0, .int8(0.2))
    } keeps: {
      joined(&$0, .int8)
    },
    Case("TRT110", "tensorrt-dla") {
      between(&$0, "Softmax", .int8)
    } keeps: {
      between(&$0, "Sigmoid", .int8)
    },
    // The accelerator takes uint8, with zero points.
    Case("TRT003", "tensorrt-dla") {
      $0.network(Grid(type: .uint16))
    } keeps: {
      $0.network(Grid(points: [7]))
    },
  ]

  private static let others: [Case] = [
    Case("OV001", "openvino", opset: 21) {
      $0.network(Grid(type: .uint16))
    } keeps: {
      $0.network()
    },
    Case("OV002", "openvino") {
      $0.input("x", [1, 4, 4, 4])
      $0.stored("w", [4, 4, 1, 1])
      $0.node("Conv", ["x", "w"], ["y"], name: "conv")
      $0.output("y")
    } keeps: {
      $0.network()
    },
    Case("OV003", "openvino") {
      $0.network(weight: Grid(type: .int8, points: [5]))
    } keeps: {
      $0.network()
    },
    Case("OV003", "openvino") {
      $0.network(weight: .uint8)
    } keeps: {
      // Products take zero points of weights.
      $0.input("x", [4, 4])
      $0.pair("x", "xd")
      $0.stored("w", [4, 4], Grid(points: [128]))
      $0.node("MatMul", ["xd", "w"], ["y"])
      $0.output("y")
    },
    Case("OV004", "openvino") {
      $0.input("x", [1, 4, 4, 4])
      $0.node("Transpose", ["x"], ["t"], [Attribute("perm", ints: [0, 3, 1, 2])])
      $0.pair("t", "td", Grid(scales: [1]))
      $0.stored("w", [4, 4, 1, 1])
      $0.node("Conv", ["td", "w"], ["y"])
      $0.output("y")
    } keeps: {
      $0.input("x", [1, 4, 4, 4])
      $0.node("Transpose", ["x"], ["t"], [Attribute("perm", ints: [0, 3, 1, 2])])
      $0.pair("t", "td", Grid(scales: [Float(1).nextUp]))
      $0.stored("w", [4, 4, 1, 1])
      $0.node("Conv", ["td", "w"], ["y"])
      $0.output("y")
    },
    Case("OV005", "openvino") {
      product(&$0, Grid(points: [128]), .int8)
    } keeps: {
      product(&$0, .uint8, .int8)
    },
    Case("OV005", "openvino") {
      product(&$0, .int8, .uint8)
    } keeps: {
      product(&$0, .int8, .int8)
    },
    Case("OV005", "openvino") {
      transposed(&$0, Grid(points: [128]))
    } keeps: {
      transposed(&$0, .int8)
    },
    Case("QNN001", "qnn") {
      $0.network()
      $0.node("Sigmoid", ["y"], ["s"], name: "island")
      $0.output("s")
    } keeps: {
      $0.network()
    },
    Case("QNN002", "qnn") {
      $0.network(.int8)
    } keeps: {
      $0.network()
    },
    Case("QNN003", "qnn") {
      $0.input("x", [-1, 4])
      $0.pair("x", "y")
      $0.output("y")
    } keeps: {
      $0.network()
    },
    Case("ORT011", "onnxruntime", opset: 28) {
      $0.network()
    } keeps: {
      $0.graph.name = "empty"
    },
  ]

  private static let cases = hygiene + onnxRuntime + tensorRT + others

  private func findings(_ build: (inout GraphBuilder) -> Void, _ test: Case) throws -> [LintFinding] {
    var builder = GraphBuilder(opset: test.opset)
    build(&builder)
    return try Linter(target: test.target).run(on: builder.model).findings
  }

  @Test(arguments: cases) func fires(_ test: Case) throws {
    let found = try findings(test.breaks, test)
    #expect(found.contains { $0.rule.id == test.rule }, "\(found.map(\.message))")
  }

  @Test(arguments: cases) func staysSilent(_ test: Case) throws {
    let found = try findings(test.keeps, test)
    #expect(!found.contains { $0.rule.id == test.rule }, "\(found.map(\.message))")
  }

  /// INT001 is said by the executor's own lowering.
  @Test func everyRuleHasACase() {
    let tested = Set(Self.cases.map(\.rule))
    let left = LintRule.all.map(\.id).filter { !tested.contains($0) }
    #expect(left == ["INT001"])
  }

  /// What OpenVINO 2026.4 runs in, by the types of the factors: measured, see `openvino_precision.py`.
  @Test func openVINOProducts() throws {
    let grids: [(Grid, isFirst: Bool, isSecond: Bool)] = [
      (.uint8, true, false), (Grid(points: [100]), false, false), (.int8, true, true),
      (Grid(type: .int8, points: [5]), false, false),
    ]
    for first in grids {
      for second in grids {
        var builder = GraphBuilder()
        Self.product(&builder, first.0, second.0)
        let runsIn = try Linter(target: "openvino").run(on: builder.model).nodes.first { $0.opType == "MatMul" }?.runsIn
        #expect(runsIn == (first.isFirst && second.isSecond ? "int8" : "float"), "\(first.0) by \(second.0)")
      }
    }
  }
}
