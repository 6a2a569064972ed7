import ONNXGraph

/// Where the output of a transposed convolution lies: for lowerings, which compute it by other means.
package struct TransposedGeometry {
  /// What is cut off at the front of each axis.
  package let begin: [Int]
  package let output: [Int]
  package let strides: [Int]
  package let dilations: [Int]

  /// - Parameter node: holds ConvTranspose's attributes.
  package init(_ node: OperatorNode, input: [Int], kernel: [Int]) throws {
    let attributes = try ConvTranspose.Attributes(node)
    let rank = input.count
    try attributes.check(rank: rank, kernel: kernel)
    let axes = try (0..<rank).map { try attributes.axis($0, rank: rank, input: input[$0], kernel: kernel[$0]) }
    begin = axes.map(\.begin)
    output = axes.map(\.output)
    strides = attributes.window.strides ?? Array(repeating: 1, count: rank)
    dilations = attributes.window.dilations ?? Array(repeating: 1, count: rank)
  }
}
