import CKernels
import ONNXTensor

/// Where reals enter and leave integer regions: the declared float kernels.
enum Border {
  static func quantize(_ tensor: Tensor, _ target: QuantizationTarget, _ context: StepContext) throws -> IntegerTensor {
    let source: Tensor
    if tensor.elementType == .float32 {
      source = tensor
    } else {
      guard let values = tensor.floats else {
        throw BorderError("a tensor of \(tensor.elementType.name) cannot be quantized")
      }
      source = Tensor(values, shape: tensor.shape)
    }
    let bytes = Tensor(of: UInt8.self, shape: source.shape, pool: context.pool) { out in
      source.withElements(Float.self) {
        ck_int_quantize($0.baseAddress, Int64(source.count), target.parameters.scale, target.output, out.baseAddress)
      }
    }
    return IntegerTensor(plain: bytes)
  }

  static func dequantize(_ tensor: IntegerTensor, _ parameters: ActivationParameters, _ context: StepContext) -> Tensor
  {
    let plain = tensor.plain(context.pool)
    return Tensor(of: Float.self, shape: tensor.shape, pool: context.pool) { out in
      plain.bytes.withElements(UInt8.self) {
        ck_int_dequantize_u8(
          $0.baseAddress, Int64(plain.count), parameters.zero, parameters.scale, out.baseAddress)
      }
    }
  }
}

struct BorderError: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}
