/// Files that are often taken for models, told by their first bytes.
struct FileKind {
  let name: String
  let advice: String?

  static func recognize(_ bytes: UnsafeRawBufferPointer) -> FileKind? {
    func starts(_ prefix: [UInt8], at offset: Int = 0) -> Bool {
      bytes.count >= offset + prefix.count && bytes[offset...].starts(with: prefix)
    }
    func starts(_ prefix: String, at offset: Int = 0) -> Bool { starts(Array(prefix.utf8), at: offset) }
    if starts("version https://git-lfs") {
      return FileKind(name: "a Git LFS pointer", advice: "fetch the model itself with 'git lfs pull'")
    }
    if starts([0xFF, 0xD8, 0xFF]) { return FileKind(name: "a JPEG picture", advice: nil) }
    if starts([0x89, 0x50, 0x4E, 0x47]) { return FileKind(name: "a PNG picture", advice: nil) }
    if starts("PK\u{3}\u{4}") {
      return FileKind(name: "a zip archive", advice: "unpack it, or export a PyTorch model with torch.onnx.export")
    }
    if starts([0x1F, 0x8B]) { return FileKind(name: "gzip-compressed", advice: "unpack it with gunzip") }
    if starts("TFL3", at: 4) { return FileKind(name: "a TensorFlow Lite model", advice: "convert it with tf2onnx") }
    if starts("ORTM", at: 4) {
      return FileKind(name: "an ONNX Runtime (.ort) model", advice: "use the .onnx it was made from")
    }
    if starts([0x89] + Array("ONNXQE\n".utf8)) {
      return FileKind(name: "an onnxq engine", advice: "use it with onnxq run or inspect, or name the ONNX model")
    }
    if starts([0x93] + Array("NUMPY".utf8)) { return FileKind(name: "a NumPy array", advice: nil) }
    if starts([0x89] + Array("HDF\r\n".utf8)) {
      return FileKind(name: "an HDF5 file", advice: "export a Keras model with tf2onnx")
    }
    if starts([0x80, 0x02]) || starts([0x80, 0x04]) { return FileKind(name: "a Python pickle", advice: nil) }
    if starts([0x7F] + Array("ELF".utf8)) { return FileKind(name: "a program", advice: nil) }
    if starts("<!DOCTYPE") || starts("<html") {
      return FileKind(name: "a web page", advice: "download the model file itself")
    }
    if starts("<?xml") { return FileKind(name: "an XML file", advice: nil) }
    if starts("{") { return FileKind(name: "a JSON file", advice: nil) }
    return nil
  }
}
