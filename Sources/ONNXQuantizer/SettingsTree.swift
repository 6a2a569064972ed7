/// A settings file as read, before anything in it means something: texts, lists and tables, each with its line.
public struct SettingsTree: Sendable {
  /// A key of a table and what it has.
  public struct Entry: Sendable {
    /// The key.
    public var key: String
    /// Where the key stands, from 1.
    public var line: Int
    /// What the key has.
    public var value: SettingsTree

    /// An entry of a table.
    public init(key: String, line: Int, value: SettingsTree) {
      self.key = key
      self.line = line
      self.value = value
    }
  }

  /// What a place in the file holds.
  public indirect enum Content: Sendable {
    /// A text, number or truth value, as written.
    case text(String)
    /// A list.
    case list([SettingsTree])
    /// A table, in the order of the file.
    case table([Entry])
  }

  /// The file's name, for messages.
  public var file: String
  /// Where the content begins, from 1.
  public var line: Int
  /// What is there.
  public var content: Content

  /// A place in a file.
  public init(file: String, line: Int, _ content: Content) {
    self.file = file
    self.line = line
    self.content = content
  }

  func error(_ message: String, line: Int? = nil) -> QuantizerError {
    QuantizerError(.badInput, "\(file):\(line ?? self.line): \(message)")
  }

  /// The entries of a table, all of whose keys must be among `keys`, none twice.
  func table(_ keys: [String]) throws(QuantizerError) -> [String: SettingsTree] {
    guard case .table(let entries) = content else {
      throw error("a table is expected here, with keys out of \(keys.joined(separator: ", "))")
    }
    var result: [String: SettingsTree] = [:]
    for entry in entries {
      guard keys.contains(entry.key) else {
        throw error(
          "there is no key '\(entry.key)' here; the keys are \(keys.joined(separator: ", "))", line: entry.line)
      }
      guard result[entry.key] == nil else { throw error("'\(entry.key)' stands here twice", line: entry.line) }
      result[entry.key] = entry.value
    }
    return result
  }

  func items() throws(QuantizerError) -> [SettingsTree] {
    guard case .list(let items) = content else { throw error("a list is expected here") }
    return items
  }

  func text() throws(QuantizerError) -> String {
    guard case .text(let text) = content else { throw error("one value is expected here") }
    return text
  }

  func flag() throws(QuantizerError) -> Bool {
    switch try text() {
    case "true": true
    case "false": false
    case let other: throw error("'\(other)' is neither true nor false")
    }
  }

  func number() throws(QuantizerError) -> Float {
    let text = try text()
    guard let value = Float(text), value.isFinite else { throw error("'\(text)' is not a number") }
    return value
  }

  /// Lower and upper end.
  func range() throws(QuantizerError) -> (lower: Float, upper: Float) {
    let items = try items()
    guard items.count == 2 else { throw error("a range is two numbers, as in [-1, 1]") }
    let (lower, upper) = (try items[0].number(), try items[1].number())
    guard lower <= upper else { throw error("the range ends before it begins") }
    return (lower, upper)
  }

  func choice<T>(_ known: [(String, T)]) throws(QuantizerError) -> T {
    let text = try text()
    for (name, value) in known where name == text { return value }
    throw error("'\(text)' is not known here; use \(known.map(\.0).joined(separator: ", "))")
  }
}
