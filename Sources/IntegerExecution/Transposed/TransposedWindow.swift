import ONNXGraph
import OperatorLibrary

/// ConvTranspose's attributes as ONNX writes them, and as they are stored.
struct TransposedWindow {
  private static let lists = ["kernel_shape", "strides", "dilations", "pads", "output_padding", "output_shape"]
  private static let longest = 1 << 20
  private let written: [(name: String, values: [Int])]
  private let autoPad: String
  private let node: OperatorNode

  init(_ node: Node) {
    self.init(
      Self.lists.compactMap { name in node.ints(name).map { (name, $0) } }, node.string("auto_pad") ?? "NOTSET")
  }

  private init(_ written: [(name: String, values: [Int])], _ autoPad: String) {
    self.written = written
    self.autoPad = autoPad
    let attributes =
      written.map { Attribute($0.name, .ints($0.values.map { Int64($0) })) } + [
        Attribute("auto_pad", .string(Array(autoPad.utf8)))
      ]
    node = OperatorNode(Node("ConvTranspose", inputs: [], outputs: [], attributes: attributes), opset: 11)
  }

  func geometry(input: [Int], kernel: [Int]) throws -> TransposedGeometry {
    try TransposedGeometry(node, input: input, kernel: kernel)
  }

  func store(_ fields: inout FieldWriter) throws(EngineFileError) {
    for (name, values) in written {
      guard values.allSatisfy((0...Self.longest).contains) else {
        throw EngineFileError(.unwritable, "'\(name)' is \(values), more than an engine holds")
      }
      fields.put(name, ints: values)
    }
    fields.put("auto_pad", string: autoPad)
  }

  init(_ fields: inout FieldReader) throws(EngineFileError) {
    var written: [(name: String, values: [Int])] = []
    for name in Self.lists {
      guard let values = try fields.intsIfPresent(name) else { continue }
      guard values.count <= 6, values.allSatisfy((0...Self.longest).contains) else {
        throw fields.damaged("'\(name)' is \(values.prefix(8)), which cannot be")
      }
      written.append((name, values))
    }
    self.init(written, try fields.string("auto_pad"))
  }

  /// Strides and dilations of `spatial` axes; nil where they do not fit.
  func extents(spatial: Int) -> (stride: [Int], dilation: [Int])? {
    func three(_ name: String) -> [Int]? {
      guard let values = written.first(where: { $0.name == name })?.values else { return [1, 1, 1] }
      return values.count == spatial && values.allSatisfy { $0 >= 1 } ? leadingOnes(values) : nil
    }
    guard let stride = three("strides"), let dilation = three("dilations"), stride.reduce(1, *) <= 4096 else {
      return nil
    }
    return (stride, dilation)
  }
}
