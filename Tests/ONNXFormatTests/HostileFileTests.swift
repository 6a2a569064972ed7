import COnnx
import ONNXFormat
import ONNXGraph
import ONNXTensor
import TestSupport
import Testing

/// Whatever the bytes are, decoding ends soon with a model or with one line that says what is wrong.
@Suite struct HostileFileTests {
  private static let models = [
    TestFiles.fixture("models/mnist-8/mnist.onnx"), TestFiles.fixture("digits/digits.onnx"),
    TestFiles.fixture("models/ort-qdq-multi-consumer/model.onnx"),
  ]

  private func refusal(_ bytes: [UInt8], path: String? = nil) -> ModelFormatError? {
    do throws(ModelFormatError) {
      try ModelDecoder.decode(ByteView(bytes), path: path).dismantle()
      return nil
    } catch {
      return error
    }
  }

  private func expectRefused(_ bytes: [UInt8], _ code: ModelFormatError.Code, containing text: String) {
    guard let error = refusal(bytes) else {
      Issue.record("accepted, expected: \(text)")
      return
    }
    #expect(error.code == code, "\(error)")
    #expect(error.description.contains(text), "\(error)")
    #expect(!error.description.contains("\n"))
  }

  @Test func tenThousandMutations() throws {
    let seed = UInt64.random(in: 0...(.max))
    print("mutation seed \(seed)")
    var random = SeededGenerator(seed: seed)
    let originals = try Self.models.map { try contents(of: $0) }
    var accepted = 0
    let time = milliseconds {
      for round in 0..<10_000 {
        var bytes = originals[round % originals.count]
        for _ in 0..<Int.random(in: 1...4, using: &random) {
          // Half of the changes near the ends, where there is more structure than weights.
          let reach = Bool.random(using: &random) ? bytes.count : min(4096, bytes.count)
          let offset = Int.random(in: 0..<reach, using: &random)
          let index = Bool.random(using: &random) ? offset : bytes.count - 1 - offset
          bytes[index] = UInt8.random(in: 0...255, using: &random)
        }
        do throws(ModelFormatError) {
          let model = try ModelDecoder.decode(bytes: bytes, options: .init(externalData: .ignored))
          accepted += 1
          for item in model.graph.initializers { _ = try? item.literal.tensor() }
          let encoded = try ModelEncoder.bytes(of: model)
          model.dismantle()
          let again = try ModelDecoder.decode(bytes: encoded, options: .init(externalData: .ignored))
          #expect(try ModelEncoder.bytes(of: again) == encoded, "seed \(seed), round \(round)")
          again.dismantle()
        } catch {
          #expect(!error.message.isEmpty && !error.description.contains("\n"), "seed \(seed), round \(round)")
        }
      }
    }
    print("mutations: \(accepted) accepted, \(10_000 - accepted) refused, \(Int(time)) ms")
    #expect(time < 120_000)
  }

  @Test(arguments: models) func everyTruncationIsRefused(path: String) throws {
    let bytes = try contents(of: path)
    for percent in 0..<100 {
      let cut = Array(bytes[..<(bytes.count * percent / 100)])
      #expect(refusal(cut, path: "model.onnx") != nil, "\(percent) %")
    }
    #expect(refusal(bytes) == nil)
  }

  @Test func filesOfOtherKindsAreNamed() {
    expectRefused([], .notONNX, containing: "is empty")
    expectRefused([0xFF, 0xD8, 0xFF, 0xE0, 0, 16] + Array("JFIF".utf8), .notONNX, containing: "JPEG")
    expectRefused(
      Array("version https://git-lfs.github.com/spec/v1\noid sha256:00\n".utf8), .notONNX, containing: "git lfs pull")
    expectRefused(Array("PK\u{3}\u{4}archive".utf8), .notONNX, containing: "zip")
    expectRefused(Array("{\"model\": 1}".utf8), .notONNX, containing: "JSON")
    expectRefused(Wire.field(1, 8), .notONNX, containing: "has no graph")
    expectRefused(Wire.field(1, 8) + Wire.field(7, []), .damaged, containing: "operator set")
  }

  @Test func deepNestingIsRefused() {
    // Types within types, and graphs within graphs: 20,000 levels overflow a parser's stack.
    for levels in [60, 20_000] {
      var type: [UInt8] = []
      var sizes: [[UInt8]] = []
      var size = 0
      for _ in 0..<levels {
        for number in [1, 4] {
          let head = Wire.varint(UInt64(number) << 3 | 2) + Wire.varint(UInt64(size))
          sizes.append(head)
          size += head.count
        }
      }
      for head in sizes.reversed() { type += head }
      let graph = Wire.field(11, Wire.field(1, "x") + Wire.field(2, type))
      expectRefused(Wire.model(graph), .hostile, containing: "nested")
    }
    var graph: [UInt8] = []
    for _ in 0..<40 {
      graph = Wire.field(1, Wire.node("If", [], [], Wire.field(5, Wire.field(1, "then_branch") + Wire.field(6, graph))))
    }
    expectRefused(Wire.model(graph), .hostile, containing: "nested")
  }

  @Test func amplificationIsRefusedAtOnce() {
    // Two bytes each that would unpack to hundreds.
    let filler = 5_000_000
    for tag: UInt8 in [1, 5, 11, 15].map({ $0 << 3 | 2 }) {
      var bytes = Wire.field(1, 8) + [7 << 3 | 2] + Wire.varint(UInt64(2 * filler))
      bytes.reserveCapacity(bytes.count + 2 * filler)
      for _ in 0..<filler { bytes += [tag, 0] }
      let view = ByteView(bytes)
      var error: ModelFormatError?
      let time = milliseconds {
        do throws(ModelFormatError) { _ = try ModelDecoder.decode(view, path: nil) } catch let caught { error = caught }
      }
      #expect(error?.code == .hostile, "field \(tag >> 3): \(error?.description ?? "accepted")")
      #expect(time < 500, "field \(tag >> 3): \(time) ms")
    }
  }

  @Test func aLargeHonestGraphIsAccepted() throws {
    let count = 200_000
    var graph: [UInt8] = []
    for index in 0..<count {
      let axis = Wire.field(1, "axis") + Wire.field(3, 1) + Wire.field(20, 2)
      graph += Wire.field(
        1,
        Wire.node(
          "Softmax", ["value_\(index)"], ["value_\(index + 1)"], Wire.field(3, "node_\(index)") + Wire.field(5, axis)))
    }
    let bytes = Wire.model(graph)
    let (footprint, status) = predicted(bytes)
    let model = try ModelDecoder.decode(bytes: bytes)
    print("200,000 nodes: \(bytes.count) bytes, predicted footprint \(footprint)")
    #expect(status == ONNX_OK && footprint < 64 << 20 + 24 * UInt64(bytes.count))
    #expect(model.graph.nodes.count == count)
    #expect(model.graph.nodes[count - 1].inputs[0]?.producer === model.graph.nodes[count - 2])
    model.dismantle()
  }

  /// Empty nodes, two bytes each: the last number of them whose predicted footprint is 64 MiB and 24 times the file's size is
  /// accepted, one more is refused.
  @Test func theAllowanceIsWhatIsDocumented() {
    func bytes(_ nodes: Int) -> [UInt8] {
      Wire.model(
        [UInt8](unsafeUninitializedCapacity: 2 * nodes) { buffer, count in
          for index in 0..<2 * nodes { buffer[index] = index % 2 == 0 ? 10 : 0 }
          count = 2 * nodes
        })
    }
    var (accepted, refused) = (1, 5_000_000)
    while refused - accepted > 1 {
      let middle = (accepted + refused) / 2
      if predicted(bytes(middle)).status == ONNX_FOOTPRINT { refused = middle } else { accepted = middle }
    }
    let last = bytes(accepted), first = bytes(refused)
    let (below, status) = predicted(last)
    #expect(status == ONNX_OK && below <= 64 << 20 + 24 * UInt64(last.count))
    let perNode = below / UInt64(accepted)
    #expect(below + 2 * perNode > 64 << 20 + 24 * UInt64(last.count))
    let time = milliseconds { #expect(predicted(first).status == ONNX_FOOTPRINT) }
    print("refused from \(refused) empty nodes on (\(first.count) bytes), in \(time) ms")
    #expect(time < 100)
  }

  private func predicted(_ bytes: [UInt8]) -> (footprint: UInt64, status: onnx_status) {
    bytes.withUnsafeBufferPointer { bytes in
      var arena: OpaquePointer?
      var report = onnx_report()
      let message = onnx_unpack(onnx_model_type(), bytes.baseAddress, bytes.count, nil, &arena, &report)
      if message != nil { onnx_arena_free(arena) }
      return (report.footprint, report.status)
    }
  }

  @Test func brokenWireFormIsExplained() {
    func graph(_ node: [UInt8]) -> [UInt8] { Wire.model(Wire.field(1, node)) }
    expectRefused(graph(Wire.field(3, [0x61, 0, 0x62])), .damaged, containing: "NUL")
    for bad: [UInt8] in [[0xC3], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xF5, 0x80, 0x80, 0x80], [0x80], [0xE2, 0x82]] {
      expectRefused(graph(Wire.field(3, bad)), .damaged, containing: "UTF-8")
    }
    for good in ["größe", "名前", "🙂", "a\u{10FFFF}", "\u{800}\u{7FF}"] {
      #expect(refusal(graph(Wire.node("Op", [], [good]))) == nil)
    }
    expectRefused(graph(Wire.field(3, 5)), .damaged, containing: "wire type")
    expectRefused(graph([0x0B, 0x0C]), .damaged, containing: "group")
    expectRefused(Wire.model([]) + Wire.field(7, []), .damaged, containing: "twice")
    expectRefused(graph([0x02, 0x00]), .damaged, containing: "tag")
    let packed = Wire.field(5, Wire.field(1, 1) + Wire.field(4, [1, 2, 3]))
    expectRefused(Wire.model(packed), .damaged, containing: "length")
    let varints = Wire.field(5, Wire.field(5, [0x80]))
    expectRefused(Wire.model(varints), .damaged, containing: "number")
    // A length beyond everything.
    expectRefused(Wire.field(1, 8) + [0x3A, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F], .damaged, containing: "length")
  }

  @Test func tensorsThatDoNotFitTheirDataAreErrorsNotTraps() throws {
    let dims: [[Int]] = [[-1], [Int.max, 2], [1 << 40, 1 << 40], [9], [0, Int.max]]
    for dim in dims {
      for type in [0, 1, 2, 7, 8, 14, 22, 25, 27, 99] {
        let tensor =
          dim.flatMap { Wire.field(1, $0) } + Wire.field(2, type) + Wire.field(8, "w") + Wire.field(9, [1, 2])
        let model = try ModelDecoder.decode(bytes: Wire.model(Wire.field(5, tensor)))
        if dim.contains(0) { continue }
        #expect(throws: GraphError.self) { try model.graph.initializers[0].literal.tensor() }
      }
    }
  }
}
