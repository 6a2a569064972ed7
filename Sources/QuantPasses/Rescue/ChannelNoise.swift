import Glibc
import ONNXGraph
import QuantCore

/// How far the signal of a tensor's channels stands above the noise of its grid, from the statistics alone.
///
/// Rounding to a grid of step S adds noise of variance S²/12 to every channel. One scale serves all channels, so a few
/// wide ones set the step, and those that carry the information may lie below it: the median over the channels of
/// 10·log10(variance / (S²/12)) says what is left in a typical one. It ranks tensors by the harm that their grids do
/// better than the signal-to-noise ratio of the whole tensor, which the wide channels dominate.
enum ChannelNoise {
  /// In dB; nil where channels were not recorded, or all are constant.
  static func medianSQNR(_ statistics: TensorStatistics, step: Float) -> Double? {
    var best: Double?
    for channels in statistics.channels {
      guard let variances = channels.channels?.variances, let widest = variances.max(), widest > 0 else { continue }
      // A channel without signal has nothing to lose.
      let signals = variances.filter { $0 > widest * 0x1p-40 }.sorted()
      let noise = Double(step) * Double(step) / 12
      guard noise > 0, let median = signals.isEmpty ? nil : signals[signals.count / 2] else { continue }
      let ratio = 10 * log10(median / noise)
      best = min(best ?? .infinity, ratio)
    }
    return best
  }
}
