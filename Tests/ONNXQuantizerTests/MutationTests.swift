import FoundationEssentials
import Glibc
import ONNXQuantizer
import TestSupport
import Testing

/// Mutated models through the whole way in process: calibrate, insert, write. It ends in a result or in an error of the
/// user's kind with one line, and nothing is written where it does not end in a result. A trap ends the process, and the
/// model that caused it is then left in the folder that is named in the suite's first line.
@Suite struct MutationTests {
  struct Source: Sendable, CustomTestStringConvertible {
    var path: String
    /// What an `.npy` header says of one sample, and its number of bytes.
    var header: String
    var byteCount: Int
    var testDescription: String { path }
  }

  static let sources = [
    Source(path: "digits/digits.onnx", header: "'<f4', 'fortran_order': False, 'shape': (1, 1, 8, 8)", byteCount: 256),
    Source(
      path: "models/tiny-ic-resnet8-qdq/resnet8_qdq.onnx",
      header: "'|i1', 'fortran_order': False, 'shape': (1, 32, 32, 3)", byteCount: 3072),
    Source(
      path: "models/mnist-8/mnist.onnx", header: "'<f4', 'fortran_order': False, 'shape': (1, 1, 28, 28)",
      byteCount: 3136),
  ]

  @Test(.timeLimit(.minutes(15)), arguments: sources)
  func calibrationAndInsertionEndInAResultOrAnError(source: Source) throws {
    let original = try [UInt8](Data(contentsOf: URL(filePath: TestFiles.fixture(source.path))))
    let folder = try TestFiles.scratch("mutations")
    let (model, output, sample) = (folder + "/mutated.onnx", folder + "/out.qdq.onnx", folder + "/sample.npy")
    try Self.sample(source).write(to: URL(filePath: sample))
    let (count, seed, targets) = (Mutation.count, Mutation.seed, Insertion.targets)
    print("\(source.path): \(count) mutations, seed \(seed), in \(folder)")
    var generator = SeededGenerator(seed: seed)
    var (loaded, calibrated, written) = (0, 0, 0)
    var messages: Set<String> = []
    for round in 0..<count {
      try Data(Mutation.mutated(original, &generator)).write(to: URL(filePath: model))
      var settings = InsertionSettings()
      settings.target = targets[round % targets.count]
      do {
        let file = try ModelFile(path: model)
        loaded += 1
        let statistics = try Calibration(DataOptions(path: sample)).run(file).statistics
        calibrated += 1
        try Insertion(settings).run(model, statistics: statistics).write(to: output, replacingForeign: true)
        written += 1
        _ = try ModelFile(path: output)
        unlink(output)
      } catch let error {
        let isOneLine = !error.message.isEmpty && !error.message.contains("\n")
        #expect(error.kind == .badInput && isOneLine, "seed \(seed), round \(round): \(error.kind) \(error.message)")
        messages.insert(error.message)
      }
      let left = try FileManager.default.contentsOfDirectory(atPath: folder).count
      #expect(left == 2, "seed \(seed), round \(round): \(left) files where the model and the sample were")
    }
    print("\(source.path): \(loaded) load, \(calibrated) run, \(written) written; \(messages.count) different errors")
    #expect(0 < written && written <= calibrated && calibrated < loaded && loaded < count)
    try FileManager.default.removeItem(atPath: folder)
  }

  /// Bytes of a pattern as NumPy keeps an array.
  private static func sample(_ source: Source) -> Data {
    let text = "{'descr': \(source.header), }"
    let length = (10 + text.utf8.count + 1 + 63) / 64 * 64 - 10
    let header = text + String(repeating: " ", count: length - text.utf8.count - 1) + "\n"
    var bytes = [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(length & 255), UInt8(length >> 8)] + Array(header.utf8)
    if source.header.contains("f4") {
      for index in 0..<source.byteCount / 4 {
        withUnsafeBytes(of: Float(index % 17).bitPattern.littleEndian) { bytes += $0 }
      }
    } else {
      bytes += (0..<source.byteCount).map { UInt8($0 % 251) }
    }
    return Data(bytes)
  }
}
