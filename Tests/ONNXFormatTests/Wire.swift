import Glibc
import ONNXGraph
import ONNXTensor

/// Protobuf by hand, for files that no library would write.
enum Wire {
  static func varint(_ value: UInt64) -> [UInt8] {
    var value = value
    var bytes: [UInt8] = []
    while value >= 0x80 {
      bytes.append(UInt8(value & 0x7F) | 0x80)
      value >>= 7
    }
    return bytes + [UInt8(value)]
  }

  static func field(_ number: Int, _ payload: [UInt8]) -> [UInt8] {
    varint(UInt64(number) << 3 | 2) + varint(UInt64(payload.count)) + payload
  }

  static func field(_ number: Int, _ text: String) -> [UInt8] { field(number, Array(text.utf8)) }

  static func field(_ number: Int, _ value: Int) -> [UInt8] {
    varint(UInt64(number) << 3) + varint(UInt64(bitPattern: Int64(value)))
  }

  static func field(_ number: Int, float value: Float) -> [UInt8] {
    varint(UInt64(number) << 3 | 5) + withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) }
  }

  /// A model around a graph, with IR version and operator set.
  static func model(_ graph: [UInt8]) -> [UInt8] {
    field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 17))
  }

  static func node(_ type: String, _ inputs: [String], _ outputs: [String], _ more: [UInt8] = []) -> [UInt8] {
    inputs.flatMap { field(1, $0) } + outputs.flatMap { field(2, $0) } + field(4, type) + more
  }

  static func valueInfo(_ name: String) -> [UInt8] { field(1, name) }
}

extension Model {
  /// Nodes and the values that they use hold each other; tests that make thousands of models take them apart.
  func dismantle() {
    for graph in graph.allGraphs + functions.flatMap({ $0.body.allGraphs }) { graph.remove(Set(graph.nodes)) }
  }
}

func contents(of path: String) throws -> [UInt8] {
  guard let file = fopen(path, "rb") else { throw Failure("cannot open \(path)") }
  defer { fclose(file) }
  fseek(file, 0, SEEK_END)
  let size = ftell(file)
  rewind(file)
  return [UInt8](unsafeUninitializedCapacity: size) { buffer, count in count = fread(buffer.baseAddress, 1, size, file)
  }
}

func write(_ bytes: [UInt8], to path: String) throws {
  guard let file = fopen(path, "wb") else { throw Failure("cannot write \(path)") }
  defer { fclose(file) }
  guard fwrite(bytes, 1, bytes.count, file) == bytes.count else { throw Failure("cannot write \(path)") }
}

func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

struct Failure: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

func milliseconds(_ body: () throws -> Void) rethrows -> Double {
  let duration = try ContinuousClock().measure(body)
  return Double(duration.components.seconds) * 1e3 + Double(duration.components.attoseconds) / 1e15
}

/// Memory of the process that is not backed by files.
func anonymousBytes() throws -> Int {
  let status = String(decoding: try contentsOfStream("/proc/self/status"), as: UTF8.self)
  for line in status.split(separator: "\n") where line.hasPrefix("RssAnon:") {
    return (Int(line.split(whereSeparator: { !$0.isNumber }).joined()) ?? 0) * 1024
  }
  throw Failure("no RssAnon in /proc/self/status")
}

private func contentsOfStream(_ path: String) throws -> [UInt8] {
  guard let file = fopen(path, "rb") else { throw Failure("cannot open \(path)") }
  defer { fclose(file) }
  var bytes: [UInt8] = []
  var next = fgetc(file)
  while next != EOF {
    bytes.append(UInt8(next))
    next = fgetc(file)
  }
  return bytes
}
