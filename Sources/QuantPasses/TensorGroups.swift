import ONNXGraph

/// Sets of tensors that must share one scale.
struct TensorGroups {
  private var parents: [Value: Value] = [:]

  mutating func root(_ value: Value) -> Value {
    var root = value
    while let parent = parents[root], parent !== root { root = parent }
    var current = value
    while current !== root {
      let next = parents[current] ?? root
      parents[current] = root
      current = next
    }
    return root
  }

  mutating func join(_ left: Value, _ right: Value) {
    let (a, b) = (root(left), root(right))
    if a !== b { parents[b] = a }
  }
}
