import QuantCore
import QuantPasses
import QuantVerification

/// The ranges that a method derives from statistics, on a target's grid.
public struct RangeReport: Sendable, Encodable {
  /// One tensor: a range, or why there is none.
  public struct Line: Sendable, Encodable {
    /// The tensor's name.
    public var tensor: String
    /// Lowest and highest real; nil where there is no range.
    public var range: [Float]?
    /// The scale on the target's grid for activations.
    public var scale: Float?
    /// The zero point on that grid.
    public var zeroPoint: Int32?
    /// For `auto` the method that won.
    public var method: String?
    /// Expected on the grid, in decibels.
    public var sqnrDB: Double?
    /// Why there is no range; nil where there is one.
    public var reason: String?

    enum CodingKeys: String, CodingKey {
      case tensor, range, scale, method, reason
      case zeroPoint = "zero_point"
      case sqnrDB = "sqnr_db"
    }
  }

  /// Name and version of the JSON document.
  public let schema = "onnxq.ranges/1"
  /// The target whose grid was used.
  public let target: String
  /// The method that was asked for.
  public let method: String
  /// The tensors by name.
  public let ranges: [Line]

  /// - Throws: `QuantizerError` of kind `usage` for an unknown method or target.
  public init(_ statistics: CalibrationStatistics, method: String, target: String) throws(QuantizerError) {
    let chosen: RangeMethod
    let preset: TargetPreset
    do {
      chosen = try RangeMethod(parsing: method)
      preset = try TargetPreset.named(target)
    } catch {
      throw QuantizerError(.usage, "\(error)")
    }
    self.target = target
    self.method = chosen.description
    ranges = statistics.file.statistics.tensors.sorted { $0.key < $1.key }.map { name, tensor in
      do throws(QuantizationError) {
        let choice = try chosen.choose(for: tensor, scheme: preset.activations)
        return Line(
          tensor: name, range: [choice.range.lower, choice.range.upper], scale: choice.parameters.scale,
          zeroPoint: choice.parameters.zeroPoint, method: choice.method.description, sqnrDB: choice.sqnr)
      } catch {
        return Line(tensor: name, reason: "\(error)")
      }
    }
  }

  /// The report as a person reads it.
  public var text: String {
    var rows = [["tensor", "from", "to", "scale", "zero point", "method", "expected"]]
    for line in ranges {
      guard let range = line.range, let scale = line.scale else {
        rows.append([line.tensor, line.reason ?? ""])
        continue
      }
      rows.append([
        line.tensor, "\(range[0])", "\(range[1])", "\(scale)", "\(line.zeroPoint ?? 0)", line.method ?? "",
        decibels(line.sqnrDB ?? 0),
      ])
    }
    return "target \(target), method \(method)\n\n" + VerificationResult.table(rows).joined(separator: "\n")
  }
}
