import ONNXTensor

/// The first `sequence_lens[i]` elements of batch i reversed in time. Opsets 10–28.
package enum ReverseSequence: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let batchAxis = try node.int("batch_axis", default: 1)
    let timeAxis = try node.int("time_axis", default: 0)
    guard [batchAxis, timeAxis].sorted() == [0, 1] else {
      throw OperatorError("'batch_axis' is \(batchAxis) and 'time_axis' \(timeAxis), they must be 0 and 1")
    }
    return .tensors { inputs, context in
      let lengths = try inputs[1].integers("sequence_lens")
      return try DenseElements.apply(inputs[0]) { x in
        guard x.rank >= 2 else { throw OperatorError("the input has rank \(x.rank)") }
        let (batch, time) = (x.shape[batchAxis], x.shape[timeAxis])
        guard lengths.count == batch, lengths.allSatisfy({ (0...time).contains($0) }) else {
          throw OperatorError("sequence lengths \(lengths) do not fit shape \(x.shape)")
        }
        let run = x.shape[2...].reduce(1, &*) * x.elementBytes
        return x.withBytes { source in
          Tensor(x.elementType, shape: x.shape, pool: context.pool) { out in
            guard let from = source.baseAddress, let to = out.baseAddress, out.count > 0 else { return }
            func offset(_ batch: Int, _ time: Int) -> Int {
              run * (batchAxis == 0 ? batch * x.shape[1] + time : time * x.shape[1] + batch)
            }
            for b in 0..<batch {
              for t in 0..<time {
                let position = t < lengths[b] ? lengths[b] - 1 - t : t
                (to + offset(b, t)).copyMemory(from: from + offset(b, position), byteCount: run)
              }
            }
          }
        }
      }
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    ShapeInference.same(inputs)
  }

  package static var quantization: QuantizationTraits { .movement }
}
