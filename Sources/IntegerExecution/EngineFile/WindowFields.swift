import ONNXGraph
import OperatorLibrary

/// The attributes of a window as ONNX writes them, and as they are stored.
struct WindowFields {
  private static let lists = ["kernel_shape", "strides", "dilations", "pads"]
  /// No window of a real network comes near.
  private static let longest = 1 << 20
  private let written: [(name: String, values: [Int])]
  private let autoPad: String
  private let ceilMode: Bool
  let attributes: WindowGeometry.Attributes

  init(_ node: OperatorNode) throws {
    attributes = try WindowGeometry.Attributes(node)
    written = try Self.lists.compactMap { name in try node.ints(name).map { (name, $0) } }
    autoPad = try node.string("auto_pad", default: "NOTSET")
    ceilMode = try node.bool("ceil_mode", default: false)
  }

  func store(_ fields: inout FieldWriter) throws(EngineFileError) {
    for (name, values) in written {
      guard values.allSatisfy((0...Self.longest).contains) || autoPad != "NOTSET" && name == "pads" else {
        throw EngineFileError(.unwritable, "'\(name)' is \(values), more than an engine holds")
      }
      if name != "pads" || autoPad == "NOTSET" { fields.put(name, ints: values) }
    }
    fields.put("auto_pad", string: autoPad)
    fields.put("ceil_mode", flag: ceilMode)
  }

  init(_ fields: inout FieldReader) throws {
    var attributes: [Attribute] = []
    for name in Self.lists {
      guard let values = try fields.intsIfPresent(name) else { continue }
      guard values.count <= 6, values.allSatisfy((0...Self.longest).contains) else {
        throw fields.damaged("'\(name)' is \(values.prefix(8)), which cannot be")
      }
      attributes.append(Attribute(name, .ints(values.map { Int64($0) })))
    }
    attributes.append(Attribute("auto_pad", .string(Array(try fields.string("auto_pad").utf8))))
    attributes.append(Attribute("ceil_mode", .int(try fields.flag("ceil_mode") ? 1 : 0)))
    do {
      try self.init(OperatorNode(Node("Conv", inputs: [], outputs: [], attributes: attributes), opset: 1))
    } catch let error as OperatorError {
      throw fields.damaged("\(error)")
    }
  }

  /// Strides and dilations of a window over `spatial` axes, leading ones for fewer than three; nil where they do not fit.
  func extents(spatial: Int) -> (stride: [Int], dilation: [Int])? {
    func three(_ list: [Int]?) -> [Int]? {
      (list?.count ?? spatial) == spatial ? leadingOnes(list ?? [Int](repeating: 1, count: spatial)) : nil
    }
    guard let stride = three(attributes.strides), let dilation = three(attributes.dilations) else { return nil }
    return (stride, dilation)
  }
}
