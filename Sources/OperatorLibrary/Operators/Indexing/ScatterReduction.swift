import ONNXTensor

/// How Scatter operators combine an update with what is there.
enum ScatterReduction: String {
  case none, add, mul, max, min

  init(_ node: OperatorNode) throws {
    let name = try node.string("reduction", default: "none")
    guard let value = ScatterReduction(rawValue: name) else {
      throw OperatorError("attribute 'reduction' is '\(name)'")
    }
    self = value
  }

  /// `data` with runs of `run` elements at `positions` (in runs) combined with those of `updates`, in order.
  func apply(
    _ data: Tensor, positions: [Int], run: Int, updates: Tensor, _ context: EvaluationContext
  ) throws -> Tensor {
    try requireSameType([data, updates])
    guard positions.count * run == updates.count else {
      throw OperatorError("updates of shape \(updates.shape) do not fit the indices")
    }
    if self == .none {
      return try DenseElements.apply([data, updates]) { parts in
        let (data, updates) = (parts[0], parts[1])
        let size = run * data.elementBytes
        return data.withBytes { old in
          updates.withBytes { new in
            Tensor(data.elementType, shape: data.shape, pool: context.pool) { out in
              out.copyMemory(from: old)
              guard let to = out.baseAddress, let from = new.baseAddress else { return }
              for (index, position) in positions.enumerated() {
                (to + position * size).copyMemory(from: from + index * size, byteCount: size)
              }
            }
          }
        }
      }
    }
    switch data.elementType {
    case .float32: return real(data, positions, run, updates, Float.self)
    case .float64: return real(data, positions, run, updates, Double.self)
    case .float16, .bfloat16:
      // Each step is rounded, as a sequence of operators would.
      let type = data.elementType
      let wide = updates.widened()
      return combine(data.widened(), positions, run, wide, Float.self) { a, b in
        Tensor.rounded(realOp(a, b), to: type)
      }.narrowed(to: type)
    case .int8: return integer(data, positions, run, updates, Int8.self)
    case .uint8: return integer(data, positions, run, updates, UInt8.self)
    case .int16: return integer(data, positions, run, updates, Int16.self)
    case .uint16: return integer(data, positions, run, updates, UInt16.self)
    case .int32: return integer(data, positions, run, updates, Int32.self)
    case .uint32: return integer(data, positions, run, updates, UInt32.self)
    case .int64: return integer(data, positions, run, updates, Int64.self)
    case .uint64: return integer(data, positions, run, updates, UInt64.self)
    case .bool:
      let bits = integer(
        data.reinterpreted(as: .uint8), positions, run, updates.reinterpreted(as: .uint8), UInt8.self)
      return Tensor(bits.array(UInt8.self).map { $0 != 0 }, shape: data.shape)
    default: throw unsupported(data.elementType)
    }
  }

  private func realOp<T: BinaryFloatingPoint>(_ a: T, _ b: T) -> T {
    switch self {
    case .none: b
    case .add: a + b
    case .mul: a * b
    case .max: Max.Step.real(a, b)
    case .min: Min.Step.real(a, b)
    }
  }

  private func real<T: BinaryFloatingPoint & TensorElement>(
    _ data: Tensor, _ positions: [Int], _ run: Int, _ updates: Tensor, _ type: T.Type
  ) -> Tensor {
    combine(data, positions, run, updates, type, realOp)
  }

  private func integer<T: FixedWidthInteger & TensorElement>(
    _ data: Tensor, _ positions: [Int], _ run: Int, _ updates: Tensor, _ type: T.Type
  ) -> Tensor {
    combine(data, positions, run, updates, type) { a, b in
      switch self {
      case .none: b
      case .add: a &+ b
      case .mul: a &* b
      case .max: Swift.max(a, b)
      case .min: Swift.min(a, b)
      }
    }
  }

  private func combine<T: TensorElement>(
    _ data: Tensor, _ positions: [Int], _ run: Int, _ updates: Tensor, _: T.Type, _ op: (T, T) -> T
  ) -> Tensor {
    data.withElements(T.self) { old in
      updates.withElements(T.self) { new in
        Tensor(of: T.self, shape: data.shape) { out in
          _ = out.update(fromContentsOf: old)
          for (index, position) in positions.enumerated() {
            for element in 0..<run {
              let target = position * run + element
              out[target] = op(out[target], new[index * run + element])
            }
          }
        }
      }
    }
  }
}

extension Tensor {
  /// A float32 value rounded to float16 or bfloat16.
  fileprivate static func rounded(_ value: Float, to type: ElementType) -> Float {
    type == .float16 ? Float(Float16(value)) : BFloat16(value).float
  }
}
