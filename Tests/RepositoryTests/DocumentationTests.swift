import Testing

@Suite struct DocumentationTests {
  static let records = Checkout.files(in: "docs/adr", ending: ".md").filter { !$0.hasSuffix("README.md") }

  /// `NNNN-title.md`: a number of its own, and the four parts in order.
  @Test func decisionRecordsHaveNumberAndParts() throws {
    var last = 0
    for path in Self.records.sorted() {
      let name = path.dropFirst("docs/adr/".count)
      let number = try #require(Int(name.prefix(4)), "\(path)")
      #expect(number > last, "\(path)")
      last = number
      let lines = Checkout.lines(path)
      #expect(lines.first?.hasPrefix("# \(number). ") == true, "\(path) begins with '# \(number). Title'")
      #expect(
        lines.filter { $0.hasPrefix("## ") } == ["## Context", "## Decision", "## Consequences"], "\(path)")
      #expect(lines.count <= 60, "\(path): a record is one page")
    }
    #expect(Self.records.count >= 12)
  }

  @Test func theIndexListsAllRecords() {
    let index = Checkout.text("docs/adr/README.md")
    for path in Self.records { #expect(index.contains("(\(path.dropFirst("docs/adr/".count)))"), "\(path)") }
  }

  /// Every public declaration of the product has a documentation comment.
  @Test func thePublicInterfaceIsDocumented() {
    for path in Checkout.files(in: "Sources/ONNXQuantizer", ending: ".swift") {
      let lines = Checkout.lines(path).map { $0.drop { $0 == " " } }
      for (number, line) in lines.enumerated()
      where line.hasPrefix("public ") || line.hasPrefix("@discardableResult public") {
        var above = number - 1
        while above >= 0, lines[above].hasPrefix("@") { above -= 1 }
        #expect(above >= 0 && lines[above].hasPrefix("///"), "\(path):\(number + 1): \(line)")
      }
    }
  }
}
