import FloatKernels
import ONNXTensor

/// Quantization to uint8 by the range of the input itself, 0 included; also gives scale and zero point. Opset 11.
package enum DynamicQuantizeLinear: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    Kernel { values, context in
      let x = try TensorInputs(values)[0]
      guard x.elementType == .float32 else { throw unsupported(x.elementType) }
      var (low, high): (Float, Float) = (0, 0)
      x.withElements(Float.self) { elements in
        for value in elements {
          low = min(low, value)
          high = max(high, value)
        }
      }
      var scale = (high - low) / 255
      // All zeros: any scale will do.
      if scale == 0 || !scale.isFinite { scale = scale == 0 ? 1 : .greatestFiniteMagnitude }
      let zero = min(max((0 - low / scale).rounded(.toNearestOrEven), 0), 255)
      let result = try x.withElements(Float.self) { source in
        try Tensor(of: UInt8.self, shape: x.shape, pool: context.pool) { out in
          try withUnsafePointer(to: scale) { scale in
            try withUnsafePointer(to: Int32(zero)) { zero in
              try context.floatKernels.quantize(
                outer: 1, channels: 1, inner: x.count, source, scale: UnsafeBufferPointer(start: scale, count: 1),
                zeroPoint: UnsafeBufferPointer(start: zero, count: 1), into: out)
            }
          }
        }
      }
      return [.tensor(result), .tensor(Tensor(scalar: scale)), .tensor(Tensor(scalar: UInt8(zero)))]
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    [
      .tensor(.uint8, dimensions: ShapeInference.input(inputs, 0)?.dimensions), .tensor(.float32, []),
      .tensor(.uint8, []),
    ]
  }
}
