/// How pictures become a model's input: resize, crop, channels, then (x scaled − mean) / std per channel, in float32.
package struct Preprocessing: Sendable, Equatable {
  package enum Resize: Sendable, Equatable {
    case none
    /// The shorter side to this many pixels, the longer one in proportion, cut off to whole pixels.
    case shortSide(Int)
    case exact(width: Int, height: Int)
    /// As large as fits into the size, the rest filled with `padValue`; nil takes the size of the model's input.
    case letterbox(Size?)
  }

  package struct Size: Sendable, Equatable {
    package var width: Int
    package var height: Int

    package init(width: Int, height: Int) {
      self.width = width
      self.height = height
    }
  }

  package enum Placement: String, Sendable, CaseIterable { case topLeft = "top-left", centre }

  package enum Channels: String, Sendable, CaseIterable {
    case rgb, bgr, grey
    /// RGB or grey, whichever the model's input takes.
    case automatic = "auto"
  }

  package enum Scale: Sendable, Equatable {
    case multiply(Float)
    case divide(Float)
  }

  package enum Layout: String, Sendable, CaseIterable {
    case nchw, nhwc
    /// By where the model's input has 1 or 3 channels.
    case automatic = "auto"
  }

  package var resize = Resize.none
  package var placement = Placement.topLeft
  package var padValue: UInt8 = 114
  /// Cut from the middle.
  package var crop: Size?
  package var channels = Channels.automatic
  package var scale = Scale.multiply(1)
  /// One value for all channels or one each; in the order of the channels.
  package var mean: [Float] = [0]
  package var std: [Float] = [1]
  package var layout = Layout.automatic

  package init() {}

  package static let presetNames = presets.map(\.name)

  private static let presets: [(name: String, text: String)] = [
    ("raw", "scale=1"),
    (
      "imagenet",
      "resize=short:256 crop=224x224 channels=rgb scale=/255 mean=0.485,0.456,0.406 std=0.229,0.224,0.225"
    ),
    ("imagenet-tf", "resize=short:256 crop=224x224 channels=rgb scale=/127.5 mean=1 std=1"),
    ("mnist", "channels=grey scale=/255 mean=0.1307 std=0.3081"),
    ("cifar10", "channels=rgb scale=/255 mean=0.485,0.456,0.406 std=0.229,0.224,0.225"),
    ("yolox", "resize=letterbox pad=114 channels=bgr scale=1"),
    ("unit", "scale=/255"),
  ]

  /// A preset by its name.
  package init(preset name: String) throws(DataError) {
    guard let preset = Self.presets.first(where: { $0.name == name }) else {
      throw DataError(
        .option, "there is no preset '\(name)'; presets are \(Self.presetNames.joined(separator: ", "))")
    }
    try self.init(parsing: preset.text)
  }

  /// From `key=value` settings, separated by spaces: what `description` gives, in any order and number.
  package init(parsing text: String) throws(DataError) {
    for setting in text.split(separator: " ") {
      let parts = setting.split(separator: "=", maxSplits: 1)
      guard parts.count == 2 else { throw DataError(.option, "'\(setting)' is no preprocessing setting (key=value)") }
      try set(String(parts[0]), String(parts[1]))
    }
  }

  /// Changes one setting: `resize`, `letterbox`, `crop`, `channels`, `scale`, `mean`, `std`, `layout`, `pad`, `place`.
  package mutating func set(_ key: String, _ value: String) throws(DataError) {
    switch key {
    case "resize": resize = try Self.resize(value)
    case "letterbox": resize = .letterbox(value == "auto" ? nil : try Self.size(value))
    case "crop": crop = value == "none" ? nil : try Self.size(value)
    case "channels":
      guard let parsed = Channels(rawValue: value == "gray" ? "grey" : value) else {
        throw Self.bad(key, value, "rgb, bgr, grey or auto")
      }
      channels = parsed
    case "layout":
      guard let parsed = Layout(rawValue: value.lowercased()) else { throw Self.bad(key, value, "nchw, nhwc or auto") }
      layout = parsed
    case "place":
      guard let parsed = Placement(rawValue: value) else { throw Self.bad(key, value, "top-left or centre") }
      placement = parsed
    case "pad":
      guard let parsed = UInt8(value) else { throw Self.bad(key, value, "0 to 255") }
      padValue = parsed
    case "scale": scale = try Self.scale(value)
    case "mean": mean = try Self.numbers(key, value)
    case "std":
      std = try Self.numbers(key, value)
      guard !std.contains(0) else { throw Self.bad(key, value, "numbers that are not 0") }
    default: throw DataError(.option, "there is no preprocessing setting '\(key)'")
    }
  }

  private static func bad(_ key: String, _ value: String, _ expected: String) -> DataError {
    DataError(.option, "'\(value)' is not a value for \(key): use \(expected)")
  }

  private static func resize(_ value: String) throws(DataError) -> Resize {
    if value == "none" { return .none }
    if value == "letterbox" { return .letterbox(nil) }
    if value.hasPrefix("letterbox:") { return .letterbox(try size(String(value.dropFirst(10)))) }
    if value.hasPrefix("short:") || !value.contains("x") {
      let digits = value.hasPrefix("short:") ? String(value.dropFirst(6)) : value
      guard let side = Int(digits), (1...1 << 15).contains(side) else {
        throw bad("resize", value, "SHORT_SIDE, WIDTHxHEIGHT or letterbox[:WIDTHxHEIGHT]")
      }
      return .shortSide(side)
    }
    let size = try size(value)
    return .exact(width: size.width, height: size.height)
  }

  /// `WIDTHxHEIGHT`, or one number for both.
  private static func size(_ value: String) throws(DataError) -> Size {
    let numbers = value.split(separator: "x", omittingEmptySubsequences: false).map { Int($0) ?? 0 }
    guard (1...2).contains(numbers.count), numbers.allSatisfy({ (1...1 << 15).contains($0) }) else {
      throw bad("a size", value, "WIDTHxHEIGHT or one number")
    }
    return Size(width: numbers[0], height: numbers[numbers.count - 1])
  }

  /// `S`, `/D` or `1/D`.
  private static func scale(_ value: String) throws(DataError) -> Scale {
    let isDivision = value.hasPrefix("/") || value.hasPrefix("1/")
    let number = isDivision ? String(value.drop { $0 != "/" }.dropFirst()) : value
    guard let parsed = Float(number), parsed.isFinite, parsed != 0 else {
      throw bad("scale", value, "a factor, or /D to divide by D")
    }
    return isDivision ? .divide(parsed) : .multiply(parsed)
  }

  private static func numbers(_ key: String, _ value: String) throws(DataError) -> [Float] {
    var result: [Float] = []
    for part in value.split(separator: ",", omittingEmptySubsequences: false) {
      guard let number = Float(part), number.isFinite else { throw bad(key, value, "one number, or one per channel") }
      result.append(number)
    }
    guard result.count == 1 || result.count == 3 else { throw bad(key, value, "one number, or three") }
    return result
  }
}

extension Preprocessing: CustomStringConvertible {
  /// All settings in a fixed order; equal settings have equal text.
  package var description: String {
    func number(_ value: Float) -> String {
      let text = "\(value)"
      return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
    }
    func list(_ values: [Float]) -> String { values.map(number).joined(separator: ",") }
    let resize =
      switch resize {
      case .none: "none"
      case .shortSide(let side): "short:\(side)"
      case .exact(let width, let height): "\(width)x\(height)"
      case .letterbox(nil): "letterbox"
      case .letterbox(let size?): "letterbox:\(size.width)x\(size.height)"
      }
    let scale =
      switch scale {
      case .multiply(let factor): number(factor)
      case .divide(let divisor): "/" + number(divisor)
      }
    return [
      "resize=\(resize)", "place=\(placement.rawValue)", "pad=\(padValue)",
      "crop=\(crop.map { "\($0.width)x\($0.height)" } ?? "none")", "channels=\(channels.rawValue)", "scale=\(scale)",
      "mean=\(list(mean))", "std=\(list(std))", "layout=\(layout.rawValue)",
    ].joined(separator: " ")
  }
}
