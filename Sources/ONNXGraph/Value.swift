/// A named value of a graph: a graph input, an initializer, a node output, or a name that nothing defines.
///
/// Identity is the object; names are unique only as far as the file keeps ONNX's rules. Uses are maintained by `Node`
/// and `Graph`: change inputs and outputs through them.
package final class Value {
  package var name: String
  /// What the file declares (input, output or value_info, in that order); nil when nothing does.
  package var type: ValueType?
  package internal(set) weak var producer: Node?
  /// Node inputs that read this value, in no promised order; a node that reads it twice appears twice.
  package internal(set) var uses: [Use] = []

  package struct Use {
    /// The graph owns its nodes; a node that leaves it gives up its uses first (`Node.disconnect`).
    package unowned let node: Node
    package let index: Int
  }

  package init(_ name: String, type: ValueType? = nil) {
    self.name = name
    self.type = type
  }

  /// The users, each once, in order of first use.
  package var consumers: [Node] {
    var seen = Set<ObjectIdentifier>()
    return uses.map(\.node).filter { seen.insert(ObjectIdentifier($0)).inserted }
  }

  /// Position among the producer's outputs.
  package var outputIndex: Int? { producer?.outputs.firstIndex { $0 === self } }
}

extension Value: Hashable {
  package static func == (left: Value, right: Value) -> Bool { left === right }
  package func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }
}
