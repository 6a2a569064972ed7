import ONNXTensor

/// Scale and zero point of a tensor: `r = (q - zeroPoint) * scale` (ONNX sign convention).
///
/// Per tensor when `axis` is nil (one scale), else one scale and zero point per index of `axis`.
package struct QuantizationParameters: Sendable, Equatable {
  package var elementType: ElementType
  package var scales: [Float]
  package var zeroPoints: [Int32]
  package var axis: Int?

  package init(elementType: ElementType, scale: Float, zeroPoint: Int32) {
    self.elementType = elementType
    scales = [scale]
    zeroPoints = [zeroPoint]
    axis = nil
  }

  package init(elementType: ElementType, scales: [Float], zeroPoints: [Int32], axis: Int) {
    self.elementType = elementType
    self.scales = scales
    self.zeroPoints = zeroPoints
    self.axis = axis
  }

  package var scale: Float { scales[0] }
  package var zeroPoint: Int32 { zeroPoints[0] }
}
