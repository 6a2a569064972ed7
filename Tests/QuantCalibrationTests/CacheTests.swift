import QuantCalibration
import QuantCore
import Testing

@Suite struct CacheTests {
  @Test func tensorRTExample() throws {
    let text =
      "TRT-8501-EntropyCalibration2\ninput: 3c008912\nconv1_output: 40008102\n(Unnamed Layer* 48) [Constant]_output: 3c008912\n"
    let cache = try TensorRTCache(parsing: text)
    #expect(cache.version == "8501" && cache.algorithm == "EntropyCalibration2")
    #expect(cache.entries.map(\.name) == ["input", "conv1_output", "(Unnamed Layer* 48) [Constant]_output"])
    #expect(cache.ranges["conv1_output"]?.upper == 255)
    #expect(cache.text == text)
  }

  @Test func toleratesWhatFilesInTheWildHave() throws {
    let cache = try TensorRTCache(parsing: "TRT-100300-MinMaxCalibration\r\na: b: 3C008912  \r\nz: 00000000\r\n\r\n")
    #expect(cache.entries.map(\.name) == ["a: b", "z"])
    #expect(cache.warnings.count == 1)
    #expect(cache.ranges.count == 1)
    #expect(try TensorRTCache(parsing: "x: 3c008912\n").warnings.count == 1)
  }

  @Test(arguments: [
    "", "TRT-8501-X\n", "TRT-8501-X\na: 7f800000", "TRT-8501-X\na: bf800000", "TRT-8501-X\na: 7fc00000",
    "TRT-8501-X\na 3c008912", "TRT-8501-X\na: 3c00",
  ])
  func badTensorRTCachesAreRefused(text: String) {
    #expect(throws: DataError.self) { try TensorRTCache(parsing: text) }
  }

  @Test func exportTakesTheLargerMagnitude() {
    let cache = TensorRTCache(ranges: [("x", ValueRange(-10, 1))])
    #expect(cache.entries[0].scale == Float(10) / 127)
    #expect(cache.text.contains("x: 3da14285"))
  }

  @Test func onnxruntimeRoundTrip() throws {
    let cache = RuntimeCache(ranges: [("a\"b", ValueRange(-1.5, 2)), ("x/y", ValueRange(0, 1e-7))])
    #expect(try RuntimeCache(parsing: Array(cache.text.utf8), location: "x.json") == cache)
    let plain =
      #"{"CLS":"TensorsData","data":{"t":{"CLS":"TensorData","lowest":-3,"highest":{"CLS":"numpy.array","dtype":"float32","data":[4]}}},"calibration_method":{}}"#
    let parsed = try RuntimeCache(parsing: Array(plain.utf8), location: "x.json")
    #expect(parsed.ranges.first?.range == ValueRange(-3, 4))
    #expect(throws: DataError.self) { try RuntimeCache(parsing: Array("{}".utf8), location: "x.json") }
  }
}
