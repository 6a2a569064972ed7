/// Reads RE2's syntax.
struct RegularExpressionParser {
  private typealias Node = RegularExpression.Node

  private struct Flags {
    var ignoresCase = false
    var isMultiline = false
    var dotTakesNewline = false
  }

  private static let largestRepetition = 1000
  private static let deepestNesting = 200
  private static let perlClasses: [Unicode.Scalar: [ClosedRange<UInt32>]] = [
    "d": [0x30...0x39], "w": [0x30...0x39, 0x41...0x5A, 0x5F...0x5F, 0x61...0x7A],
    "s": [0x09...0x0A, 0x0C...0x0D, 0x20...0x20],
  ]
  private static let namedClasses: [String: [ClosedRange<UInt32>]] = [
    "alnum": [0x30...0x39, 0x41...0x5A, 0x61...0x7A], "alpha": [0x41...0x5A, 0x61...0x7A], "ascii": [0...0x7F],
    "blank": [0x09...0x09, 0x20...0x20], "cntrl": [0...0x1F, 0x7F...0x7F], "digit": [0x30...0x39],
    "graph": [0x21...0x7E],
    "lower": [0x61...0x7A], "print": [0x20...0x7E], "punct": [0x21...0x2F, 0x3A...0x40, 0x5B...0x60, 0x7B...0x7E],
    "space": [0x09...0x0D, 0x20...0x20], "upper": [0x41...0x5A],
    "word": [0x30...0x39, 0x41...0x5A, 0x5F...0x5F, 0x61...0x7A], "xdigit": [0x30...0x39, 0x41...0x46, 0x61...0x66],
  ]
  private static let controls: [Unicode.Scalar: UInt32] = ["a": 7, "f": 12, "t": 9, "n": 10, "r": 13, "v": 11]

  private let scalars: [Unicode.Scalar]
  private var position = 0
  private var flags = Flags()
  private var depth = 0

  init(_ pattern: String) { scalars = Array(pattern.unicodeScalars) }

  private func fault(_ what: String) -> OperatorError { OperatorError("the regular expression \(what)") }
  private var next: Unicode.Scalar? { position < scalars.count ? scalars[position] : nil }

  private mutating func take(_ text: String) -> Bool {
    guard scalars[position...].starts(with: text.unicodeScalars) else { return false }
    position += text.unicodeScalars.count
    return true
  }

  private mutating func takeNext() throws(OperatorError) -> Unicode.Scalar {
    guard let next else { throw fault("ends too early") }
    position += 1
    return next
  }

  /// Up to `end`, which is taken too.
  private mutating func text(upTo end: Unicode.Scalar) throws(OperatorError) -> String {
    guard let stop = scalars[position...].firstIndex(of: end) else { throw fault("lacks a '\(end)'") }
    var result = ""
    result.unicodeScalars.append(contentsOf: scalars[position..<stop])
    position = stop + 1
    return result
  }

  mutating func parse() throws(OperatorError) -> RegularExpression.Node {
    let result = try choice()
    guard next == nil else { throw fault("has a ')' too many") }
    return result
  }

  private mutating func choice() throws(OperatorError) -> Node {
    var parts = [try sequence()]
    while take("|") { parts.append(try sequence()) }
    return parts.count == 1 ? parts[0] : .choice(parts)
  }

  private mutating func sequence() throws(OperatorError) -> Node {
    var parts: [Node] = []
    while let next, next != "|", next != ")" {
      if take("\\Q") {
        let start = parts.count
        while position < scalars.count, !take("\\E") { parts.append(literal(try takeNext())) }
        // What follows repeats the last character alone.
        if parts.count > start { parts.append(try repeated(parts.removeLast())) }
      } else {
        parts.append(try repeated(atom()))
      }
    }
    return .sequence(parts)
  }

  private mutating func repeated(_ atom: Node) throws(OperatorError) -> Node {
    var counts: (Int, Int?)
    if take("*") {
      counts = (0, nil)
    } else if take("+") {
      counts = (1, nil)
    } else if take("?") {
      counts = (0, 1)
    } else {
      guard let braces = braces() else { return atom }
      counts = braces
    }
    // Whether the shortest or the longest is preferred does not change what matches as a whole.
    _ = take("?")
    if let next, "*+?".unicodeScalars.contains(next) { throw fault("repeats a repetition") }
    guard max(counts.0, counts.1 ?? 0) <= Self.largestRepetition, counts.0 <= counts.1 ?? .max else {
      throw fault("has a repetition that is reversed or beyond \(Self.largestRepetition)")
    }
    // Empty or endless: an endless repetition of something that may be empty is entered once.
    return .repeated(atom, least: counts.0, most: counts.1)
  }

  /// `{n}`, `{n,}` or `{n,m}`; anything else is literal braces.
  private mutating func braces() -> (Int, Int?)? {
    guard next == "{", let end = scalars[position...].firstIndex(of: "}") else { return nil }
    var inside = ""
    inside.unicodeScalars.append(contentsOf: scalars[(position + 1)..<end])
    let parts = inside.split(separator: ",", omittingEmptySubsequences: false)
    guard (1...2).contains(parts.count), parts.allSatisfy({ $0.utf8.allSatisfy { (0x30...0x39).contains($0) } }),
      let least = Int(parts[0])
    else { return nil }
    let most: Int?
    if parts.count == 1 { most = least } else if parts[1].isEmpty { most = nil } else { most = Int(parts[1]) ?? .max }
    position = end + 1
    return (least, most)
  }

  private func literal(_ scalar: Unicode.Scalar) -> Node { set([scalar.value...scalar.value]) }

  private func set(_ ranges: [ClosedRange<UInt32>], isNegated: Bool = false) -> Node {
    .scalars(ScalarSet(ranges: ranges, isNegated: isNegated, foldsCase: flags.ignoresCase))
  }

  private mutating func atom() throws(OperatorError) -> Node {
    let scalar = try takeNext()
    switch scalar {
    case "(": return try group()
    case "[": return try characterClass()
    case ".": return flags.dotTakesNewline ? set([0...0x10FFFF]) : set([0...9, 11...0x10FFFF])
    case "^": return .assertion(flags.isMultiline ? .lineStart : .textStart)
    case "$": return .assertion(flags.isMultiline ? .lineEnd : .textEnd)
    case "*", "+", "?": throw fault("repeats nothing")
    case "\\":
      if take("A") { return .assertion(.textStart) }
      if take("z") { return .assertion(.textEnd) }
      if take("b") { return .assertion(.wordBoundary) }
      if take("B") { return .assertion(.noWordBoundary) }
      var result = ScalarSet(foldsCase: flags.ignoresCase)
      _ = try escape(into: &result)
      return .scalars(result)
    default: return literal(scalar)
    }
  }

  private mutating func group() throws(OperatorError) -> Node {
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.deepestNesting else {
      throw fault("has groups within groups, deeper than \(Self.deepestNesting)")
    }
    let outer = flags
    if take("?") {
      if take("P<") || take("<") {
        _ = try text(upTo: ">")
      } else {
        var isOn = true
        flagLetters: while true {
          switch try takeNext() {
          case "i": flags.ignoresCase = isOn
          case "m": flags.isMultiline = isOn
          case "s": flags.dotTakesNewline = isOn
          case "U": break
          case "-": isOn = false
          case ":": break flagLetters
          // For the rest of the group around it.
          case ")": return .empty
          case let other: throw fault("has a group of the unknown kind '?\(other)'")
          }
        }
      }
    }
    let inside = try choice()
    guard take(")") else { throw fault("lacks a ')'") }
    flags = outer
    return inside
  }

  private mutating func characterClass() throws(OperatorError) -> Node {
    var result = ScalarSet(foldsCase: flags.ignoresCase)
    result.isNegated = take("^")
    var isFirst = true
    while isFirst || next != "]" {
      isFirst = false
      if take("[:") {
        let isNegated = take("^")
        let name = try text(upTo: ":")
        guard take("]"), let ranges = Self.namedClasses[name] else { throw fault("has the unknown class [:\(name):]") }
        result.ranges += isNegated ? Self.complement(ranges) : ranges
        continue
      }
      guard let low = try member(&result) else { continue }
      guard next == "-", position + 1 < scalars.count, scalars[position + 1] != "]" else {
        result.ranges.append(low...low)
        continue
      }
      position += 1
      var ignored = ScalarSet()
      guard let high = try member(&ignored), low <= high else { throw fault("has a range that is reversed") }
      result.ranges.append(low...high)
    }
    position += 1
    return .scalars(result)
  }

  /// One scalar of a class; nil where a class within was added.
  private mutating func member(_ set: inout ScalarSet) throws(OperatorError) -> UInt32? {
    let scalar = try takeNext()
    guard scalar == "\\" else { return scalar.value }
    let before = set.ranges.count
    if try escape(into: &set) { return nil }
    defer { set.ranges.removeSubrange(before...) }
    return set.ranges[before].lowerBound
  }

  /// What follows a backslash; whether it was a class and not one scalar.
  private mutating func escape(into set: inout ScalarSet) throws(OperatorError) -> Bool {
    let scalar = try takeNext()
    func add(_ value: UInt32) { set.ranges.append(value...value) }
    if let ranges = Self.perlClasses[scalar] {
      set.ranges += ranges
      return true
    }
    let lower = Unicode.Scalar(scalar.value | 0x20) ?? scalar
    if lower != scalar, let ranges = Self.perlClasses[lower] {
      set.ranges += Self.complement(ranges)
      return true
    }
    if lower == "p" {
      var name = take("{") ? try text(upTo: "}") : String(try takeNext())
      var isNegated = scalar == "P"
      if name.hasPrefix("^") {
        name.removeFirst()
        isNegated.toggle()
      }
      if name == "Any" { name = "" }
      guard name.isEmpty || ScalarSet.categoryNames.contains(name) else {
        throw fault("has the unknown category \\p{\(name)}")
      }
      set.categories.append((name, isNegated))
      return true
    }
    if let control = Self.controls[scalar] {
      add(control)
    } else if scalar == "x" {
      let digits = take("{") ? try text(upTo: "}") : String(try takeNext()) + String(try takeNext())
      guard let value = UInt32(digits, radix: 16), Unicode.Scalar(value) != nil else {
        throw fault("has a \\x of no scalar")
      }
      add(value)
    } else if ("0"..."7").contains(scalar) {
      var value = scalar.value - 0x30
      var digits = 1
      while digits < 3, let next, ("0"..."7").contains(next) {
        value = value * 8 + next.value - 0x30
        position += 1
        digits += 1
      }
      // One digit that is no 0 would refer to a group.
      guard digits > 1 || value == 0 else { throw fault("refers back to a group, which RE2 does not know") }
      add(value)
    } else if scalar.isASCII, !scalar.properties.isAlphabetic, !("0"..."9").contains(scalar) {
      add(scalar.value)
    } else {
      throw fault("has the unknown escape \\\(scalar)")
    }
    return false
  }

  /// `ranges` are in order.
  private static func complement(_ ranges: [ClosedRange<UInt32>]) -> [ClosedRange<UInt32>] {
    var result: [ClosedRange<UInt32>] = []
    var start: UInt32 = 0
    for range in ranges {
      if range.lowerBound > start { result.append(start...range.lowerBound - 1) }
      start = range.upperBound + 1
    }
    if start <= 0x10FFFF { result.append(start...0x10FFFF) }
    return result
  }
}
