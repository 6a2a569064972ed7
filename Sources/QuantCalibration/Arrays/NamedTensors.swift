import FoundationEssentials
import ONNXFormat
import ONNXTensor

/// Whole tensors from files, as they are: `.npy` and `.pb` hold one, `.npz` holds several by name, `file.npz:key` means
/// one of these.
package enum NamedTensors {
  /// The names are nil where the file has none.
  package static func load(_ path: String, kind: ValueFile.Kind = .tensor) throws(DataError) -> [(
    name: String?, value: RuntimeValue
  )] {
    if path.hasSuffix(".npz") {
      let archive = try ArrayArchive(path: path)
      var result: [(name: String?, value: RuntimeValue)] = []
      for key in archive.keys.sorted() { result.append((key, .tensor(try archive.array(key).tensor()))) }
      return result
    }
    if let range = path.firstRange(of: ".npz:") {
      let archive = try ArrayArchive(path: String(path[..<range.lowerBound]) + ".npz")
      return [(nil, .tensor(try archive.array(String(path[range.upperBound...])).tensor()))]
    }
    if path.hasSuffix(".pb") {
      do {
        let stored = try ValueFile.load(path: path, kind: kind)
        return [(stored.name?.isEmpty ?? true ? nil : stored.name, stored.value)]
      } catch {
        throw DataError(error)
      }
    }
    return [(nil, .tensor(try ArrayFile(path: path).tensor()))]
  }
}
