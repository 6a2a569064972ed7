import OperatorLibrary
import Testing

/// Each operator stands once in the table of its family, and each table in the catalogue.
@Suite struct CatalogTests {
  static let folder = "Sources/OperatorLibrary/Operators"

  /// A family's table: where it is, what it is called and which types it lists.
  struct Table {
    var path: String
    var name: String
    var types: [String]
  }

  static let tables: [Table] = Checkout.files(in: folder, ending: "Operators.swift").compactMap { path in
    let lines = Checkout.lines(path)
    guard let head = lines.first(where: { $0.contains(": [any Operator.Type]") }) else { return nil }
    let words = head.split(whereSeparator: { " :".contains($0) })
    guard let place = words.firstIndex(of: "let"), place + 1 < words.count else { return nil }
    let types = lines.compactMap { line -> String? in
      let entry = line.drop { $0 == " " }
      return entry.hasSuffix(".self,") ? String(entry.dropLast(6)) : nil
    }
    return Table(path: path, name: String(words[place + 1]), types: types)
  }

  @Test func tablesAreSorted() {
    for table in Self.tables { #expect(table.types == table.types.sorted(), "\(table.path)") }
  }

  @Test func everyOperatorIsListedOnce() {
    let listed = Self.tables.flatMap(\.types)
    #expect(listed.count == Set(listed).count)
    // Two entries of one domain and op_type would leave the catalogue with fewer.
    #expect(OperatorCatalog.all.count == listed.count)
    #expect(listed.count > 200)
  }

  @Test func everyFamilyHasOneTableInTheCatalogue() throws {
    let catalogue = Checkout.text("Sources/OperatorLibrary/OperatorCatalog.swift")
    for table in Self.tables { #expect(catalogue.contains("\n    \(table.name),"), "\(table.path)") }
    let families = Set(
      Checkout.files(in: Self.folder, ending: ".swift").map { $0.dropFirst(Self.folder.count + 1).prefix { $0 != "/" } }
    )
    #expect(families.count == Self.tables.count)
  }

  /// Types that conform, by `Operator` itself or by a protocol that refines it.
  @Test func everyConformingTypeIsListed() {
    var refining: Set<Substring> = ["Operator"]
    var declarations: [(kind: Substring, name: Substring, bases: [Substring])] = []
    for path in Checkout.files(in: "Sources/OperatorLibrary", ending: ".swift") {
      // Operators stand at the top of their file; what is private or nested is no operator.
      for line in Checkout.lines(path) where !line.hasPrefix(" ") && !line.hasPrefix("private") {
        let words = line.split(whereSeparator: { " ,:{".contains($0) }).drop {
          ["package", "private", "fileprivate", "indirect", "final"].contains($0)
        }
        guard line.contains(":"), let kind = words.first, ["enum", "struct", "class", "protocol"].contains(kind) else {
          continue
        }
        let rest = words.dropFirst()
        if let name = rest.first { declarations.append((kind, name, Array(rest.dropFirst()))) }
      }
    }
    var grows = true
    while grows {
      let before = refining.count
      for item in declarations where item.kind == "protocol" && !refining.isDisjoint(with: item.bases) {
        refining.insert(item.name)
      }
      grows = refining.count > before
    }
    let listed = Set(Self.tables.flatMap(\.types))
    let conforming = declarations.filter { $0.kind != "protocol" && !refining.isDisjoint(with: $0.bases) }
    for item in conforming { #expect(listed.contains(String(item.name)), "\(item.name) is in no table") }
    #expect(conforming.count == listed.count)
  }

  @Test func namesAreFound() {
    for type in OperatorCatalog.all {
      #expect(OperatorCatalog.find(domain: type.domain, opType: type.opType) != nil, "\(type)")
      #expect(type.domain != "ai.onnx", "\(type): the standard domain is spelled \"\"")
    }
    #expect(OperatorCatalog.find(domain: "", opType: "NoSuchOperator") == nil)
  }
}
