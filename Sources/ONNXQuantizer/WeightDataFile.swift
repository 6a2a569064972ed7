import ONNXFormat
import ONNXGraph
import ONNXTensor
import QuantPasses

/// Takes new weights as they are made: to a data file beside the result, or nowhere.
final class WeightDataFile: WeightStore {
  /// Models up to here, without external data, stay one file.
  private static let largestSingleFile = 256 << 20
  /// Smaller tensors stay in the model.
  private static let smallestExternal = 1024

  private let path: String?
  private let file: ExternalDataFile?
  private let copiesData: Bool

  /// nil where new weights stay in memory.
  init?(_ model: Model, _ destination: WeightOnlyQuantization.Destination, copiesData: Bool) throws {
    self.copiesData = copiesData
    switch destination {
    case .memory: return nil
    case .nowhere: (path, file) = (nil, nil)
    case .file(let output):
      guard let source = model.source,
        !source.externalTensors.isEmpty || source.bytes.count > Self.largestSingleFile
      else { return nil }
      (path, file) = (output, try ExternalDataFile(besideModel: output))
    }
  }

  func store(_ name: String, _ tensor: Tensor) throws -> TensorLiteral {
    let template = TensorLiteral(name: name, dims: tensor.shape.map(Int64.init), dataType: tensor.elementType.rawValue)
    guard let file else { return template }
    guard tensor.byteCount >= Self.smallestExternal else { return TensorLiteral(name: name, tensor) }
    return try file.append(ByteView(tensor), as: template)
  }

  func release(_ literal: TensorLiteral) { literal.releasePages() }

  /// Gives the data file its name, before the model that names it is written. Returns the name.
  func finish(_ model: Model, for output: String) throws -> String? {
    guard let file, output == path else {
      throw QuantizerError(
        .usage, "\(output): the weights were made for \(path ?? "no file"), run the quantization for this path")
    }
    if copiesData { try file.copyOtherData(of: model) }
    return try file.finish(model)
  }
}
