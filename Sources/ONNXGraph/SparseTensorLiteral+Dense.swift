import ONNXTensor

extension SparseTensorLiteral {
  /// The dense tensor; elements that are not listed are zero.
  ///
  /// Indices are linear (`[NNZ]`) or coordinates (`[NNZ, rank]`), as `SparseTensorProto` says.
  package func dense() throws(GraphError) -> Tensor {
    guard let values = try values?.tensor(), let indices = try indices?.tensor(), let positions = indices.integers
    else {
      throw GraphError(.badTensor, "sparse tensor without values or integer indices")
    }
    let shell = TensorLiteral(name: nil, dims: dims, dataType: values.elementType.rawValue)
    let width = values.elementType.bitWidth / 8
    guard let count = shell.elementCount, width > 0, values.elementType.byteCount(elements: count) != nil else {
      throw GraphError(.badTensor, "sparse tensor of \(values.elementType.name) with dimensions \(dims)")
    }
    let shape = dims.map(Int.init)
    let isLinear = indices.rank <= 1
    guard positions.count == (isLinear ? values.count : values.count * shape.count) else {
      throw GraphError(.badTensor, "sparse tensor with \(values.count) values and \(positions.count) indices")
    }
    var targets: [Int] = []
    for item in 0..<values.count {
      var target = 0
      if isLinear {
        target = positions[item]
      } else {
        for (axis, extent) in shape.enumerated() {
          let index = positions[item * shape.count + axis]
          guard index >= 0, index < extent else {
            throw GraphError(.badTensor, "sparse tensor index \(index) outside of dimension \(extent)")
          }
          target = target * extent + index
        }
      }
      guard target >= 0, target < count else {
        throw GraphError(.badTensor, "sparse tensor index \(target) outside of \(count) elements")
      }
      targets.append(target)
    }
    return Tensor(values.elementType, shape: shape) { bytes in
      bytes.initializeMemory(as: UInt8.self, repeating: 0)
      values.withBytes { source in
        for (item, target) in targets.enumerated() {
          UnsafeMutableRawBufferPointer(rebasing: bytes[(target * width)..<(target * width + width)])
            .copyMemory(from: UnsafeRawBufferPointer(rebasing: source[(item * width)..<(item * width + width)]))
        }
      }
    }
  }
}
