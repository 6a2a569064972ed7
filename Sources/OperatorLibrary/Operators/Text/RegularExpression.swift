/// A regular expression in RE2's syntax, matched in time proportional to its size times the text's: all states of the
/// automaton advance together (Thompson 1968), nothing is tried twice.
///
/// Known: literals, `.`, classes with ranges and `[:names:]`, `\d \w \s` and their negations, `\p{…}` of general categories,
/// groups, `(?flags)` of `i m s U`, `* + ? {n,m}` greedy or not, `|`, `^ $ \A \z \b \B`, `\Q…\E`. Scripts in `\p{…}` and
/// `\C` are errors.
struct RegularExpression: Sendable {
  indirect enum Node {
    case empty
    case scalars(ScalarSet)
    case assertion(Assertion)
    case sequence([Node])
    case choice([Node])
    case repeated(Node, least: Int, most: Int?)
  }

  enum Assertion { case textStart, textEnd, lineStart, lineEnd, wordBoundary, noWordBoundary }

  private enum Instruction {
    case scalars(ScalarSet)
    case assertion(Assertion)
    case split(Int, Int)
    case jump(Int)
    case match
  }

  static let longestProgram = 100_000

  private var program: [Instruction] = []
  /// Parts written so far: repetitions of nothing count too.
  private var steps = 0

  init(_ pattern: String) throws(OperatorError) {
    var parser = RegularExpressionParser(pattern)
    try append(try parser.parse())
    program.append(.match)
  }

  private mutating func append(_ node: Node) throws(OperatorError) {
    steps += 1
    guard steps < Self.longestProgram else {
      throw OperatorError("the regular expression is too large: more than \(Self.longestProgram) states")
    }
    switch node {
    case .empty: break
    case .scalars(let set): program.append(.scalars(set))
    case .assertion(let assertion): program.append(.assertion(assertion))
    case .sequence(let parts): for part in parts { try append(part) }
    case .choice(let parts):
      var jumps: [Int] = []
      for part in parts.dropLast() {
        let split = program.count
        program.append(.jump(0))
        try append(part)
        jumps.append(program.count)
        program.append(.jump(0))
        program[split] = .split(split + 1, program.count)
      }
      if let last = parts.last { try append(last) }
      for jump in jumps { program[jump] = .jump(program.count) }
    case .repeated(let part, let least, let most):
      for _ in 0..<least { try append(part) }
      guard let most else {
        let split = program.count
        program.append(.jump(0))
        try append(part)
        program.append(.jump(split))
        program[split] = .split(split + 1, program.count)
        return
      }
      var splits: [Int] = []
      for _ in least..<max(least, most) {
        splits.append(program.count)
        program.append(.jump(0))
        try append(part)
      }
      for split in splits { program[split] = .split(split + 1, program.count) }
    }
  }

  /// Whether it matches the text from its first scalar to its last.
  func matchesWhole(_ text: String) -> Bool {
    let scalars = Array(text.unicodeScalars)
    var current = StateSet(program.count), next = StateSet(program.count)
    enter(0, &current, scalars, 0)
    for (position, scalar) in scalars.enumerated() {
      if current.states.isEmpty { return false }
      next.removeAll()
      for state in current.states {
        if case .scalars(let set) = program[state], set.contains(scalar) {
          enter(state + 1, &next, scalars, position + 1)
        }
      }
      swap(&current, &next)
    }
    return current.states.contains { if case .match = program[$0] { true } else { false } }
  }

  /// Adds a state and what it leads to without a scalar.
  private func enter(_ first: Int, _ set: inout StateSet, _ text: [Unicode.Scalar], _ position: Int) {
    var pending = [first]
    while let state = pending.popLast() {
      guard set.insert(state) else { continue }
      switch program[state] {
      case .jump(let target): pending.append(target)
      case .split(let one, let other): pending += [other, one]
      case .assertion(let assertion):
        if Self.holds(assertion, text, position) { pending.append(state + 1) }
      case .scalars, .match: break
      }
    }
  }

  private static func holds(_ assertion: Assertion, _ text: [Unicode.Scalar], _ position: Int) -> Bool {
    func isWord(_ index: Int) -> Bool { text.indices.contains(index) && ScalarSet.isWord(text[index]) }
    return switch assertion {
    case .textStart: position == 0
    case .textEnd: position == text.count
    case .lineStart: position == 0 || text[position - 1] == "\n"
    case .lineEnd: position == text.count || text[position] == "\n"
    case .wordBoundary: isWord(position - 1) != isWord(position)
    case .noWordBoundary: isWord(position - 1) == isWord(position)
    }
  }

  private struct StateSet {
    private(set) var states: [Int] = []
    private var isIn: [Bool]

    init(_ count: Int) { isIn = [Bool](repeating: false, count: count) }

    mutating func insert(_ state: Int) -> Bool {
      if isIn[state] { return false }
      isIn[state] = true
      states.append(state)
      return true
    }

    mutating func removeAll() {
      for state in states { isIn[state] = false }
      states.removeAll(keepingCapacity: true)
    }
  }
}

/// The scalars that one place of an expression takes.
struct ScalarSet: Sendable {
  var ranges: [ClosedRange<UInt32>] = []
  /// General categories by their two letters, or the first of them.
  var categories: [(name: String, isNegated: Bool)] = []
  var isNegated = false
  var foldsCase = false

  static func isWord(_ scalar: Unicode.Scalar) -> Bool {
    scalar.isASCII && (scalar == "_" || scalar.properties.isAlphabetic || ("0"..."9").contains(scalar))
  }

  func contains(_ scalar: Unicode.Scalar) -> Bool {
    var isIn = holds(scalar)
    if !isIn && foldsCase {
      let properties = scalar.properties
      for text in [properties.lowercaseMapping, properties.uppercaseMapping] where text.unicodeScalars.count == 1 {
        isIn = isIn || text.unicodeScalars.contains(where: holds)
      }
    }
    return isIn != isNegated
  }

  private func holds(_ scalar: Unicode.Scalar) -> Bool {
    ranges.contains { $0.contains(scalar.value) }
      || categories.contains { Self.category(of: scalar).hasPrefix($0.name) != $0.isNegated }
  }

  static let categoryNames: Set<String> = [
    "L", "Lu", "Ll", "Lt", "Lm", "Lo", "M", "Mn", "Mc", "Me", "N", "Nd", "Nl", "No", "P", "Pc", "Pd", "Ps", "Pe", "Pi",
    "Pf", "Po", "S", "Sm", "Sc", "Sk", "So", "Z", "Zs", "Zl", "Zp", "C", "Cc", "Cf", "Co", "Cs",
  ]

  private static func category(of scalar: Unicode.Scalar) -> String {
    switch scalar.properties.generalCategory {
    case .uppercaseLetter: "Lu"
    case .lowercaseLetter: "Ll"
    case .titlecaseLetter: "Lt"
    case .modifierLetter: "Lm"
    case .otherLetter: "Lo"
    case .nonspacingMark: "Mn"
    case .spacingMark: "Mc"
    case .enclosingMark: "Me"
    case .decimalNumber: "Nd"
    case .letterNumber: "Nl"
    case .otherNumber: "No"
    case .connectorPunctuation: "Pc"
    case .dashPunctuation: "Pd"
    case .openPunctuation: "Ps"
    case .closePunctuation: "Pe"
    case .initialPunctuation: "Pi"
    case .finalPunctuation: "Pf"
    case .otherPunctuation: "Po"
    case .mathSymbol: "Sm"
    case .currencySymbol: "Sc"
    case .modifierSymbol: "Sk"
    case .otherSymbol: "So"
    case .spaceSeparator: "Zs"
    case .lineSeparator: "Zl"
    case .paragraphSeparator: "Zp"
    case .control: "Cc"
    case .format: "Cf"
    case .surrogate: "Cs"
    case .privateUse: "Co"
    case .unassigned: "Cn"
    @unknown default: "Cn"
    }
  }
}
