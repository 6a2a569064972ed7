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

/// Processor time of this thread: other tests that run at the same time do not count.
func milliseconds(_ body: () throws -> Void) rethrows -> Double {
  func now() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) * 1e3 + Double(time.tv_nsec) / 1e6
  }
  let start = now()
  try body()
  return now() - start
}

/// Pages of a mapped file that are in memory.
func residentPages(_ bytes: UnsafeRawBufferPointer) -> Int {
  let count = (bytes.count + 4095) / 4096
  var flags = [UInt8](repeating: 0, count: count)
  guard let base = bytes.baseAddress, mincore(UnsafeMutableRawPointer(mutating: base), bytes.count, &flags) == 0 else {
    return count
  }
  return flags.count { $0 & 1 != 0 }
}
