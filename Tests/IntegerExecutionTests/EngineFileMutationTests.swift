import FoundationEssentials
import Glibc
import IntegerExecution
import ONNXFormat
import ONNXTensor
import TestSupport
import Testing

/// Damaged engines end in a result or in an error: never in a trap, a hang or a read outside the file. A trap ends the
/// process; the seed is printed, and the last mutant lies in the folder that is printed with it.
@Suite struct EngineFileMutationTests {
  @Test(arguments: [UInt64(20_261_123), 7]) func mutationsNeverTrap(_ seed: UInt64) throws {
    let count = ProcessInfo.processInfo.environment["ONNXQ_MUTATIONS"].flatMap { Int($0) } ?? 10_000
    let (model, shapes) = EngineFileTests.everyStep(seed: 5)
    let bytes = try EngineFileTests.engine(model)
    let inputs = EngineFileTests.feeds(shapes, seed: 1)
    let structure = try EngineFile(ByteView(bytes)).sections.last?.offset ?? 0
    print("engine mutations: seed \(seed), \(count) of \(bytes.count) bytes, of which \(structure) are structure")
    var generator = SeededGenerator(seed: seed)
    var (opened, loaded, ran) = (0, 0, 0)
    for _ in 0..<count {
      var mutant = bytes
      for _ in 0..<Int.random(in: 1...4, using: &generator) {
        // Weights may be anything: most of the changes are made where they matter.
        let end = Int.random(in: 0..<8, using: &generator) == 0 ? mutant.count : structure
        let place = Int.random(in: 0..<end, using: &generator)
        switch Int.random(in: 0..<4, using: &generator) {
        case 0: mutant[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
        case 1: mutant[place] = 0xFF
        case 2: mutant[place] = UInt8.random(in: 0...3, using: &generator)
        default: mutant[place] = UInt8.random(in: 0...255, using: &generator)
        }
      }
      guard let file = try? EngineFile(guarded(mutant)) else { continue }
      opened += 1
      guard let plan = try? file.plan() else { continue }
      loaded += 1
      let executor = IntegerExecutor(plan: plan, memoryLimit: 1 << 22)
      if let _: [String: Tensor] = try? executor.run(inputs) { ran += 1 }
    }
    print("engine mutations: seed \(seed): \(opened) open, \(loaded) load, \(ran) run")
    #expect(loaded > 0 && loaded < count && ran > 0)
  }

  @Test func truncationsAreRefused() throws {
    let (model, _) = EngineFileTests.everyStep(seed: 5)
    let bytes = try EngineFileTests.engine(model)
    for length in 0..<bytes.count {
      #expect(throws: EngineFileError.self, "\(length) of \(bytes.count) bytes") {
        try EngineFile(ByteView(Array(bytes[..<length])))
      }
    }
    #expect(throws: EngineFileError.self) { try EngineFile(ByteView(bytes + [0])) }
  }

  /// The bytes at the very end of a mapping, so that a read behind them ends the process.
  private func guarded(_ bytes: [UInt8]) -> ByteView {
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    let span = (bytes.count + page - 1) / page * page
    let mapping = GuardedMapping(span: span, page: page)
    let start = mapping.base + (span - bytes.count)
    bytes.withUnsafeBytes { start.copyMemory(from: $0.baseAddress!, byteCount: bytes.count) }
    return ByteView(UnsafeRawBufferPointer(start: start, count: bytes.count), owner: mapping)
  }
}

/// Memory with a page behind it that cannot be read.
private final class GuardedMapping {
  let base: UnsafeMutableRawPointer
  private let size: Int

  init(span: Int, page: Int) {
    size = span + page
    base = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    precondition(base != MAP_FAILED && mprotect(base + span, page, PROT_NONE) == 0)
  }

  deinit { munmap(base, size) }
}
