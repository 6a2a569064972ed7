import FoundationEssentials
import ONNXTensor
import QuantCalibration
import TestSupport
import Testing

func fixture(_ name: String) -> String { TestFiles.fixture("calibration/" + name) }

func write(_ bytes: some Sequence<UInt8>, to path: String) throws {
  try Data(bytes).write(to: URL(filePath: path))
}

func bytes(of path: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: URL(filePath: path))) }

/// A `.npy` file of this type and shape.
func npy(_ description: String, _ shape: [Int], _ elements: [UInt8]) -> [UInt8] {
  let tuple = "(" + shape.map { "\($0)," }.joined() + ")"
  let text = "{'descr': '\(description)', 'fortran_order': False, 'shape': \(tuple), }\n"
  return [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(text.utf8.count & 0xFF), UInt8(text.utf8.count >> 8)]
    + Array(text.utf8) + elements
}

func npy(_ values: [Float], _ shape: [Int]) -> [UInt8] {
  npy(
    "<f4", shape,
    values.flatMap { value in (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> UInt32(8 * $0)) } })
}

/// One array of an archive, read as a data set of one sample.
func array(_ key: String, of path: String, shape: [Int?]? = nil) throws -> Tensor {
  let input = InputDescription(name: "x", elementType: nil, shape: shape)
  return try #require(try DataSet(path: "\(path):\(key)", inputs: [input]).load(0)["x"])
}

func expectSame(_ left: Tensor, _ right: Tensor, sourceLocation: SourceLocation = #_sourceLocation) {
  #expect(left.shape == right.shape, sourceLocation: sourceLocation)
  #expect(left.elementType == right.elementType, sourceLocation: sourceLocation)
  let same = left.withBytes { first in right.withBytes { second in first.elementsEqual(second) } }
  #expect(same, "elements differ", sourceLocation: sourceLocation)
}
