import COnnx
import ONNXTensor

/// A protobuf-c tree of checked bytes, whose payloads point into them. The tree goes when the object does.
final class UnpackedMessage {
  let root: UnsafeMutablePointer<ProtobufCMessage>
  private let arena: OpaquePointer
  private let bytes: ByteView

  /// `location` is the file, for messages.
  init(
    _ type: UnsafePointer<ProtobufCMessageDescriptor>?, bytes: ByteView, location: String?
  ) throws(ModelFormatError) {
    self.bytes = bytes
    var arena: OpaquePointer?
    var report = onnx_report()
    let nothing: StaticString = ""
    let base = bytes.bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) ?? nothing.utf8Start
    let message = onnx_unpack(type, base, bytes.count, nil, &arena, &report)
    guard let message, let arena else { throw Self.fault(report, bytes: bytes, location: location) }
    root = message
    self.arena = arena
  }

  deinit { onnx_arena_free(arena) }

  func root<T>(as type: T.Type) -> UnsafeMutablePointer<T> {
    UnsafeMutableRawPointer(root).assumingMemoryBound(to: T.self)
  }

  private static func fault(_ report: onnx_report, bytes: ByteView, location: String?) -> ModelFormatError {
    if let kind = FileKind.recognize(bytes.bytes) {
      return ModelFormatError(.notONNX, "is \(kind.name), not an ONNX model", at: location, advice: kind.advice)
    }
    var place = " at byte \(report.offset)"
    if let message = report.message {
      place += " (\(String(cString: message))\(report.field.map { "." + String(cString: $0) } ?? ""))"
    }
    let code: ModelFormatError.Code =
      switch report.status {
      case ONNX_FOOTPRINT, ONNX_TOO_DEEP, ONNX_NO_MEMORY: .hostile
      case ONNX_TOO_LARGE: .notONNX
      default: .damaged
      }
    let text = String(cString: onnx_status_text(report.status))
    return ModelFormatError(
      code, "\(text)\(place)", at: location,
      advice: code == .damaged ? "the file is damaged, incomplete or not an ONNX model" : nil)
  }
}
