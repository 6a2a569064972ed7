import ONNXGraph
import ONNXTensor
import OperatorLibrary
import TestSupport
import Testing

@Suite struct RegularExpressionTests {
  private func matches(_ pattern: String, _ texts: [String]) throws -> [Bool] {
    let strings = Tensor(strings: texts.map { Array($0.utf8) }, shape: [texts.count])
    return try OperatorRunner.result("RegexFullMatch", [strings], [Attribute("pattern", string: pattern)]).array(
      Bool.self)
  }

  @Test func whatMatchesAndWhatDoesNot() throws {
    let cases: [(pattern: String, yes: [String], no: [String])] = [
      ("", [""], ["a"]),
      ("a|bc|", ["a", "bc", ""], ["b", "abc"]),
      ("www\\.[\\w.-]+\\.com", ["www.google.com", "www.a-b.com"], ["www.com", "wwwxgoogle.com"]),
      ("(\\W|^)[\\w.\\-]{0,25}@(yahoo|gmail)\\.com(\\W|$)", ["account@gmail.com", " a@yahoo.com!"], ["a@hotmail.com"]),
      ("(?i)straße|Ünder", ["STRAßE", "üNDER"], ["strasse"]),
      ("(?i:ab)c", ["ABc", "abc"], ["abC"]),
      (".", ["x", "🙂"], ["\n", "", "xx"]),
      ("(?s).", ["\n"], [""]),
      ("a{2}b{1,}c{0,2}", ["aab", "aabbcc"], ["ab", "aabccc"]),
      ("a{,2}", ["a{,2}"], ["aa"]),
      ("[^a-c]+", ["xyz", "é"], ["abc", ""]),
      ("[]a]+", ["]a]"], ["b"]),
      ("[a-]+", ["a-a"], ["b"]),
      ("[[:upper:][:^alnum:]]+", ["A-B"], ["a"]),
      ("\\d+\\D\\s\\S", ["12x y"], ["12 \u{a0}y"]),
      ("\\pL+\\p{Nd}\\P{L}[\\p{^Lu}]", ["é7!a"], ["é7aa", "é7!A"]),
      ("\\x41\\x{1F642}\\101\\t", ["A🙂A\t"], ["A🙂A"]),
      ("\\Qa.b*\\E+", ["a.b*", "a.b**"], ["a.b", "axb", "a.b*+"]),
      ("\\ba+\\b\\B", [], ["a"]),
      ("a\\b.*\\bb", ["a b"], ["ab"]),
      ("(?m)a$\n^b", ["a\nb"], ["ab"]),
      ("a$\n^b", [], ["a\nb"]),
      ("\\Aa\\z", ["a"], ["ab"]),
      ("(?P<year>\\d{4})-(?<month>\\d\\d)", ["2026-11"], ["26-11"]),
      ("(a*)*b", ["b", "aab"], ["a"]),
      ("(|a)+", ["", "aa"], ["b"]),
    ]
    for (pattern, yes, no) in cases {
      #expect(try matches(pattern, yes + no) == yes.map { _ in true } + no.map { _ in false }, "\(pattern)")
    }
  }

  @Test func whatIsNoExpressionIsNamed() {
    for pattern in [
      "(", ")", "a)", "[", "[b-a]", "*a", "a**", "\\", "\\y", "\\1", "(?<n", "(?x)", "[[:no:]]", "\\p{Greek}",
      "a{1001}",
      "a{3,2}", "\\x{110000}", "(?", String(repeating: "(", count: 100_000), "((a{1000}){1000}){1000}",
      "(((){1000}){1000}){1000}",
    ] {
      let error = #expect(throws: OperatorError.self, "\(pattern.prefix(40))") { try matches(pattern, ["a"]) }
      #expect(error?.message.contains("the regular expression") == true)
    }
  }

  /// Backtracking takes 2^n steps on these.
  @Test func timeIsLinear() throws {
    let long = String(repeating: "a", count: 20_000)
    for pattern in ["(a+)+b", "(a|aa)+b", "(a*)*b", "(a|a|a)*b", "(.*)(.*)(.*)(.*)(.*)b", "(a?){50}a{50}b"] {
      let clock = ContinuousClock()
      let start = clock.now
      let result = try matches(pattern, [long])
      let time = start.duration(to: clock.now)
      #expect(result == [false])
      #expect(time < .seconds(5), "\(pattern): \(time)")
    }
  }

  @Test func randomExpressionsMatchAsSwiftsEngineDoes() throws {
    let seed = UInt64.random(in: 0...(.max))
    print("regular expressions of seed \(seed)")
    var random = SeededGenerator(seed: seed)
    func expression(_ depth: Int) -> String {
      if depth == 0 { return ["a", "b", ".", "[ab]", "[^a]"].randomElement(using: &random) ?? "a" }
      let one = expression(depth - 1), other = expression(depth - 1)
      return [
        "\(one)\(other)", "(\(one)|\(other))", "(\(one))*", "(\(one))?\(other)", "(\(one)){1,2}", "(\(one))+?\(other)",
      ]
      .randomElement(using: &random) ?? one
    }
    for _ in 0..<500 {
      let pattern = expression(3)
      let theirs = try Regex(pattern).matchingSemantics(.unicodeScalar)
      let texts = (0..<20).map { _ in
        String((0..<Int.random(in: 0...8, using: &random)).map { _ in Bool.random(using: &random) ? "a" : "b" })
      }
      let expected = try texts.map { try theirs.wholeMatch(in: $0) != nil }
      #expect(try matches(pattern, texts) == expected, "\(pattern), seed \(seed)")
    }
  }
}
