import ArgumentParser
import ONNXQuantizer

/// How data becomes the model's input; shared by the verbs that take data.
struct DataArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Named preprocessing of pictures: \(DataOptions.presets.joined(separator: ", ")).", valueName: "name"))
  var preset: String?

  @Option(help: ArgumentHelp("Resize pictures: the short side, WIDTHxHEIGHT, or letterbox[:WxH].", valueName: "size"))
  var resize: String?

  @Option(help: ArgumentHelp("Crop the centre.", valueName: "WxH|none"))
  var crop: String?

  @Option(help: ArgumentHelp("Fit into a size and pad; auto takes the model's.", valueName: "WxH|auto"))
  var letterbox: String?

  @Option(help: ArgumentHelp("Subtracted after scaling: one number, or three.", valueName: "m[,m,m]"))
  var mean: String?

  @Option(help: ArgumentHelp("Divided by at the end: one number, or three.", valueName: "s[,s,s]"))
  var std: String?

  @Option(help: ArgumentHelp("Factor on 0 to 255, or /D to divide.", valueName: "factor"))
  var scale: String?

  @Option(help: ArgumentHelp("Order of colours.", valueName: "rgb|bgr|grey|auto"))
  var channels: String?

  @Option(help: ArgumentHelp("Order of axes.", valueName: "nchw|nhwc|auto"))
  var layout: String?

  @Option(help: "Only the first N samples.")
  var limit: Int?

  func options(path: String, configuration: Configuration, recorded: String? = nil) -> DataOptions {
    var result = DataOptions(path: path)
    result.preset = preset ?? (settings.isEmpty ? configuration.preset : nil)
    result.settings = settings
    result.limit = limit
    result.recordedPreprocessing = recorded
    return result
  }

  private var settings: [(key: String, value: String)] {
    [
      ("resize", resize), ("crop", crop), ("letterbox", letterbox), ("mean", mean), ("std", std), ("scale", scale),
      ("channels", channels), ("layout", layout),
    ].compactMap { key, value in value.map { (key, $0) } }
  }
}
