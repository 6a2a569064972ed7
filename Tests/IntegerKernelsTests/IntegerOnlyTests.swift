import Foundation
import TestSupport
import Testing

/// No floating-point type is named in the integer kernels' Swift, nor in their C definitions.
@Suite struct IntegerOnlyTests {
  @Test func sourcesNameNoFloatingPointType() throws {
    let folder = TestFiles.root + "/Sources/IntegerKernels"
    var files = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".swift") }.map {
      folder + "/" + $0
    }
    #expect(files.count >= 4)
    files.append(TestFiles.root + "/Sources/CKernels/integer/ck_int_reference.c")
    files.append(TestFiles.root + "/Sources/CKernels/integer/ck_int_pool.c")
    files.append(TestFiles.root + "/Sources/CKernels/integer/ck_int_wide.c")
    for file in files { #expect(try floatingPointWords(in: file).isEmpty, "\(file)") }
    // The control: the declared float kernels are found.
    let control = try floatingPointWords(in: TestFiles.root + "/Sources/CKernels/integer/ck_int_float32.c")
    #expect(control.contains("float"))
  }

  private func floatingPointWords(in path: String) throws -> Set<String> {
    let text = try String(contentsOfFile: path, encoding: .utf8)
    let words = text.split { !($0.isLetter || $0.isNumber || $0 == "_") }.map(String.init)
    return Set(words).intersection([
      "float", "double", "Float", "Double", "Float16", "Float32", "Float64", "CFloat", "CDouble",
    ])
  }
}
