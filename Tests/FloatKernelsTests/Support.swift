import CKernels
import FloatKernels
import Glibc
import Testing

/// A small repeatable generator.
struct Random: RandomNumberGenerator {
  var state: UInt64

  init(_ seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  mutating func floats(_ count: Int, _ range: ClosedRange<Float> = -1...1) -> [Float] {
    (0..<count).map { _ in Float.random(in: range, using: &self) }
  }

  mutating func pick(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &self) }
  mutating func pick<T>(_ values: [T]) -> T { values[pick(0...values.count - 1)] }
  mutating func chance(_ percent: Int) -> Bool { pick(0...99) < percent }
}

/// Every instruction set of this machine, alone and with threads.
let backends: [FloatBackend] = {
  let pool = ThreadPool(threads: 3)
  return InstructionSet.all.flatMap { set in
    [FloatBackend(instructionSet: set), FloatBackend(instructionSet: set, pool: pool)].compactMap { $0 }
  }
}()

/// One backend per instruction set.
let singleBackends = backends.filter { $0.pool == nil }

func sameBits(_ a: Float, _ b: Float) -> Bool { a.bitPattern == b.bitPattern || (a.isNaN && b.isNaN) }

/// The first index where the bits differ, NaN of any payload being equal.
func firstDifference(_ a: [Float], _ b: [Float]) -> String? {
  guard a.count == b.count else { return "\(a.count) against \(b.count) elements" }
  for i in a.indices where !sameBits(a[i], b[i]) { return "at \(i): \(a[i]) against \(b[i])" }
  return nil
}

extension FloatBackend {
  var label: String { "\(instructionSet), \(pool?.threadCount ?? 1) threads" }
}

/// Runs `body` on an output of `count` elements that begins as NaN, so that what is not written shows.
func output(_ count: Int, _ body: (UnsafeMutableBufferPointer<Float>) throws -> Void) rethrows -> [Float] {
  var result = [Float](repeating: .nan, count: count)
  try result.withUnsafeMutableBufferPointer { try body($0) }
  return result
}

/// The activations that tests go through, with a scalar definition where it is short.
func reference(_ function: UnaryFunction, _ x: Float) -> Float? {
  switch function.operation {
  case CK_IDENTITY:
    return x
  case CK_RELU:
    return 0 > x ? 0 : x
  case CK_CLIP:
    let low = function.a > x ? function.a : x
    return function.b < low ? function.b : low
  case CK_LEAKY_RELU:
    return x < 0 ? function.a * x : x
  default:
    return nil
  }
}

let referenceActivations: [UnaryFunction] = [.identity, .relu, .clip(-0.25, 0.5), .leakyRelu(0.1)]
