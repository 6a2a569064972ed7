import ONNXFormat
import ONNXTensor

/// One NumPy array: a `.npy` file or a member of an `.npz`. Reads what is asked for, not the whole.
///
/// One caller at a time.
final class ArrayFile {
  let header: NpyHeader
  let location: String
  private let source: any ByteSource

  /// A `.npy` file.
  convenience init(path: String) throws(DataError) {
    let file = try mapFile(path)
    try self.init(MappedBytes(file.view), location: path)
  }

  init(_ source: any ByteSource, location: String) throws(DataError) {
    self.source = source
    self.location = location
    let length = min(source.count, 1 << 16)
    var start = [UInt8](repeating: 0, count: length)
    var failure: DataError?
    start.withUnsafeMutableBytes { bytes in
      do throws(DataError) { try source.read(0..<length, into: bytes) } catch { failure = error }
    }
    if let failure { throw failure }
    var parsed: Result<NpyHeader, DataError> = .failure(DataError(.damaged, "is empty", at: location))
    start.withUnsafeBytes { bytes in
      do throws(DataError) { parsed = .success(try NpyHeader(bytes, location: location)) } catch {
        parsed = .failure(error)
      }
    }
    header = try parsed.get()
    guard header.byteCount <= source.count - header.dataOffset else {
      throw DataError(
        .damaged,
        "is cut off: shape \(header.shape) needs \(header.byteCount) bytes, \(max(0, source.count - header.dataOffset)) are there",
        at: location)
    }
  }

  var shape: [Int] { header.shape }

  /// The whole array.
  func tensor() throws(DataError) -> Tensor {
    let stored = try read(0..<header.count, shape: header.isFortran ? header.shape.reversed() : header.shape)
    return header.isFortran ? transposed(stored) : stored
  }

  /// The elements of index `range` on axis 0; the array must not be a scalar.
  func rows(_ range: Range<Int>) throws(DataError) -> Tensor {
    if header.isFortran { return try tensor().rows(range) }
    let row = header.shape.dropFirst().reduce(1, *)
    return try read(range.lowerBound * row..<range.upperBound * row, shape: [range.count] + header.shape.dropFirst())
  }

  private func read(_ elements: Range<Int>, shape: [Int]) throws(DataError) -> Tensor {
    let width = header.elementBytes
    var failure: DataError?
    let tensor = Tensor(header.elementType, shape: shape) { bytes in
      let start = header.dataOffset + elements.lowerBound * width
      do throws(DataError) {
        try source.read(start..<start + elements.count * width, into: bytes)
      } catch {
        failure = error
        bytes.initializeMemory(as: UInt8.self, repeating: 0)
      }
      if header.isBigEndian && width > 1 {
        for element in 0..<elements.count {
          for byte in 0..<width / 2 { bytes.swapAt(element * width + byte, element * width + width - 1 - byte) }
        }
      }
    }
    if let failure { throw failure }
    return tensor
  }

  /// From the file's order, last axis outermost, to row-major.
  private func transposed(_ stored: Tensor) -> Tensor {
    let shape = header.shape
    let width = header.elementBytes
    var strides = [Int](repeating: width, count: shape.count)
    for axis in shape.indices.dropFirst() { strides[axis] = strides[axis - 1] * shape[axis - 1] }
    return Tensor(header.elementType, shape: shape) { target in
      stored.withBytes { source in
        var index = [Int](repeating: 0, count: shape.count)
        var offset = 0
        for position in stride(from: 0, to: target.count, by: width) {
          for byte in 0..<width { target[position + byte] = source[offset + byte] }
          for axis in shape.indices.reversed() {
            index[axis] += 1
            offset += strides[axis]
            if index[axis] < shape[axis] { break }
            offset -= strides[axis] * shape[axis]
            index[axis] = 0
          }
        }
      }
    }
  }
}

/// The arrays of an `.npz` file by key, `.npy` taken off.
struct ArrayArchive {
  let path: String
  private let archive: ZipArchive
  let keys: [String]

  init(path: String) throws(DataError) {
    self.path = path
    archive = try ZipArchive(path: path)
    keys = archive.members.map { $0.name.hasSuffix(".npy") ? String($0.name.dropLast(4)) : $0.name }
  }

  func array(_ key: String) throws(DataError) -> ArrayFile {
    guard let index = keys.firstIndex(of: key) else {
      throw DataError(.mismatch, "has no array '\(key)'; it has \(keys.joined(separator: ", "))", at: path)
    }
    return try ArrayFile(archive.open(archive.members[index]), location: "\(path):\(key)")
  }
}
