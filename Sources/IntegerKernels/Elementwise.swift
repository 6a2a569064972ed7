import CKernels

/// How two operands walk over a dense output: extents, and each operand's strides (0 where it is repeated).
package struct BroadcastLoop: Sendable {
  package let c: ck_int_broadcast

  /// The loop for two dense operands of these shapes under ONNX's broadcasting; nil where they do not fit, or where the
  /// output has more than six dimensions that cannot be joined.
  package init?(_ a: [Int], _ b: [Int]) {
    guard let shape = BroadcastLoop.shape(a, b) else { return nil }
    var size: [Int64] = []
    var aStrides: [Int64] = []
    var bStrides: [Int64] = []
    let left = BroadcastLoop.strides(a, rank: shape.count)
    let right = BroadcastLoop.strides(b, rank: shape.count)
    for d in shape.indices where shape[d] != 1 {
      let extent = Int64(shape[d])
      if let last = size.indices.last, aStrides[last] == left[d] * extent, bStrides[last] == right[d] * extent {
        size[last] *= extent
        aStrides[last] = left[d]
        bStrides[last] = right[d]
      } else {
        size.append(extent)
        aStrides.append(left[d])
        bStrides.append(right[d])
      }
    }
    guard size.count <= 6 else { return nil }
    func six(_ v: [Int64]) -> (Int64, Int64, Int64, Int64, Int64, Int64) {
      let p = v + [Int64](repeating: 0, count: 6 - v.count)
      return (p[0], p[1], p[2], p[3], p[4], p[5])
    }
    c = ck_int_broadcast(rank: Int32(size.count), size: six(size), a_stride: six(aStrides), b_stride: six(bStrides))
  }

  /// ONNX's broadcast of two shapes.
  package static func shape(_ a: [Int], _ b: [Int]) -> [Int]? {
    var shape: [Int] = []
    for d in 0..<max(a.count, b.count) {
      let x = d < a.count ? a[a.count - 1 - d] : 1
      let y = d < b.count ? b[b.count - 1 - d] : 1
      guard x == y || x == 1 || y == 1 else { return nil }
      shape.append(x == 1 ? y : x)
    }
    return shape.reversed()
  }

  private static func strides(_ shape: [Int], rank: Int) -> [Int64] {
    var strides = [Int64](repeating: 0, count: rank)
    var step: Int64 = 1
    for d in shape.indices.reversed() {
      if shape[d] != 1 { strides[rank - shape.count + d] = step }
      step *= Int64(shape[d])
    }
    return strides
  }
}

package typealias IntegerAddition = ck_int_add_spec
package typealias IntegerProduct = ck_int_mul_spec

package func add(
  _ spec: IntegerAddition, _ loop: BroadcastLoop, _ a: UnsafePointer<UInt8>, _ b: UnsafePointer<UInt8>,
  into y: UnsafeMutablePointer<UInt8>
) {
  var spec = spec
  var c = loop.c
  ck_int_add(&spec, &c, a, b, y, ck_isa_current())
}

package func multiply(
  _ spec: IntegerProduct, _ loop: BroadcastLoop, _ a: UnsafePointer<UInt8>, _ b: UnsafePointer<UInt8>,
  into y: UnsafeMutablePointer<UInt8>
) {
  var spec = spec
  var c = loop.c
  ck_int_mul(&spec, &c, a, b, y, ck_isa_current())
}

/// y[i] = table[x[i]], 256 entries.
package func lookUp(_ x: UnsafePointer<UInt8>, count: Int, in table: [UInt8], into y: UnsafeMutablePointer<UInt8>) {
  precondition(table.count == 256)
  ck_int_lookup(x, Int64(count), table, y, ck_isa_current())
}

/// int8 to the biased form and back.
package func flipSign(_ x: UnsafePointer<UInt8>, count: Int, into y: UnsafeMutablePointer<UInt8>) {
  ck_int_flip_sign(x, Int64(count), y)
}

/// [batch][rows][columns] to [batch][columns][rows].
package func transpose(
  _ x: UnsafePointer<UInt8>, batch: Int, rows: Int, columns: Int, into y: UnsafeMutablePointer<UInt8>
) {
  ck_int_transpose(x, Int64(batch), Int64(rows), Int64(columns), y, ck_isa_current())
}
