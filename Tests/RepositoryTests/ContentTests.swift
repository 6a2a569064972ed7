import Testing

/// What no file of the repository may hold.
@Suite struct ContentTests {
  static let written = Checkout.files.filter { path in
    [".swift", ".c", ".h", ".md", ".mk", ".py", ".proto", ".yml", ".yaml", "Makefile"].contains { path.hasSuffix($0) }
  }

  @Test func filesAreFound() {
    #expect(Self.written.count > 300)
    #expect(Self.written.contains("Package.swift") && Self.written.contains("Tests/RepositoryTests/ContentTests.swift"))
  }

  @Test func noFileIsAboveTwoMebibytes() {
    for path in Checkout.files { #expect((Checkout.size(path) ?? .max) <= 2 << 20, "\(path)") }
  }

  /// Put together here, so that this file does not hold them.
  static let forbidden = ["TO" + "DO", "FIX" + "ME", "XX" + "X", "/ho" + "me/", "/wo" + "rk/"]

  @Test(arguments: forbidden) func wordsThatHaveNoPlaceHere(word: String) {
    for path in Self.written {
      for (number, line) in Checkout.lines(path).enumerated() where line.contains(word) {
        Issue.record("\(path):\(number + 1) holds \(word)")
      }
    }
  }

  @Test func releaseBuildsCarryNoUnsafeFlags() {
    for path in ["Package.swift", "docs/examples/swift/Package.swift"] {
      let manifest = Checkout.text(path)
      #expect(!manifest.isEmpty, "\(path)")
      for word in ["unsafeFlags", "-Ounchecked", "-enforce-exclusivity"] {
        #expect(!manifest.contains(word), "\(path)")
      }
    }
  }

  @Test func onlyTheProductIsPublic() {
    for path in Checkout.files(in: "Sources", ending: ".swift") where !path.hasPrefix("Sources/ONNXQuantizer/") {
      for (number, line) in Checkout.lines(path).enumerated() {
        let words = line.split(separator: " ")
        #expect(
          !words.contains("public") || line.contains("//"),
          "\(path):\(number + 1): outside of ONNXQuantizer declarations are `package` at most")
      }
    }
  }

  @Test func theCommandLineUsesNothingButTheProduct() {
    let allowed: Set<Substring> = [
      "ONNXQuantizer", "ArgumentParser", "Yams", "FoundationEssentials", "Foundation", "Glibc",
    ]
    for path in Checkout.files(in: "Sources/onnxq", ending: ".swift") {
      for line in Checkout.lines(path) where line.hasPrefix("import ") {
        #expect(allowed.contains(line.dropFirst(7)), "\(path): \(line)")
      }
    }
  }

  @Test func testsSeeWhatTheSourcesShow() {
    for path in Checkout.files(in: "Tests", ending: ".swift") {
      for line in Checkout.lines(path) {
        #expect(!line.hasPrefix("@test" + "able"), "\(path): tests use `package` access")
      }
    }
  }
}
