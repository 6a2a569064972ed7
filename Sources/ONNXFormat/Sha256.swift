import CNettle
import ONNXTensor

/// SHA-256 as bytes come.
package struct Sha256 {
  private var context = sha256_ctx()

  package init() { nettle_sha256_init(&context) }

  /// Has taken in all of a view; files pass through, they do not stay in memory.
  package init(of view: ByteView) {
    self.init()
    update(view)
  }

  package mutating func update(_ view: ByteView) {
    do throws(ModelFormatError) {
      try FileMapping.stream(view) { (piece) throws(ModelFormatError) in update(piece) }
    } catch {
      // Taking in bytes does not fail.
    }
  }

  package mutating func update(_ bytes: UnsafeRawBufferPointer) {
    guard bytes.count > 0 else { return }
    nettle_sha256_update(&context, bytes.count, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self))
  }

  package mutating func update(_ bytes: [UInt8]) { bytes.withUnsafeBytes { update($0) } }

  /// The digest; the state starts anew.
  package mutating func digest() -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: 32) { buffer, count in
      nettle_sha256_digest(&context, 32, buffer.baseAddress)
      count = 32
    }
  }

  package mutating func hexDigest() -> String { digest().hex }

  package static func hexDigest(_ bytes: UnsafeRawBufferPointer) -> String {
    var hash = Sha256()
    hash.update(bytes)
    return hash.hexDigest()
  }
}

extension [UInt8] {
  var hex: String {
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }
}
