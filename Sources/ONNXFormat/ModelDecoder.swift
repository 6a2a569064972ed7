import COnnx
import ONNXGraph
import ONNXTensor

/// Model files to models.
///
/// The file is mapped, not read: `raw_data` and external data stay where they are, as views that keep the mapping. What
/// is built is the structure alone. Names become values through the scopes of ONNX: a nested graph sees the graphs around
/// it, and a name that nothing defines becomes a value without a producer, for the verifier to report.
package enum ModelDecoder {
  package enum ExternalDataPolicy: Sendable {
    /// A missing data file is an error.
    case required
    /// Tensors of a missing data file stay without bytes; one that is there must be sound.
    case ifPresent
    /// Data files are not looked at.
    case ignored
  }

  package struct Options: Sendable {
    package var externalData: ExternalDataPolicy

    package init(externalData: ExternalDataPolicy = .required) { self.externalData = externalData }
  }

  package static func load(path: String, options: Options = Options()) throws(ModelFormatError) -> Model {
    try decode(FileMapping(path: path).view, path: path, options: options)
  }

  package static func decode(bytes: [UInt8], options: Options = Options()) throws(ModelFormatError) -> Model {
    try decode(ByteView(bytes), path: nil, options: options)
  }

  /// `path` is where external data is looked for, beside it; without one, external data cannot be found.
  package static func decode(
    _ bytes: ByteView, path: String?, options: Options = Options()
  ) throws(ModelFormatError) -> Model {
    guard bytes.count > 0 else { throw ModelFormatError(.notONNX, "is empty", at: path) }
    let message = try UnpackedMessage(onnx_model_type(), bytes: bytes, location: path)
    defer { withExtendedLifetime(message) {} }
    let source = message.root(as: Onnx__ModelProto.self).pointee
    guard let graph = source.graph else {
      throw ModelFormatError(
        .notONNX, "has no graph", at: path, advice: "the file is incomplete or not an ONNX model")
    }
    guard source.n_opset_import > 0 || (source.has_ir_version != 0 && source.ir_version < 3) else {
      throw ModelFormatError(
        .damaged, "imports no operator set", at: path, advice: "the file is incomplete or not an ONNX model")
    }

    let origin = ModelSource(path: path, bytes: bytes)
    let externalData = ExternalDataReader(modelPath: path, policy: options.externalData)
    let decoder = GraphDecoder(tensors: TensorDecoder(owner: bytes.owner, externalData: externalData))
    let model = Model(graph: try decoder.graph(graph, in: nil))
    for function in messages(source.functions, source.n_functions) {
      model.functions.append(try decoder.function(function))
    }
    for info in messages(source.training_info, source.n_training_info) {
      // Looked through for its external data, kept in wire form.
      for graph in [info.pointee.initialization, info.pointee.algorithm].compactMap({ $0 }) {
        _ = try decoder.graph(graph, in: nil)
      }
      model.trainingInfo.append(opaque(info))
    }
    origin.externalTensors = externalData.tensors

    model.irVersion = present(source.has_ir_version, source.ir_version)
    model.opsetImports = messages(source.opset_import, source.n_opset_import).map(opsetImport)
    model.producerName = text(source.producer_name)
    model.producerVersion = text(source.producer_version)
    model.domain = text(source.domain)
    model.modelVersion = present(source.has_model_version, source.model_version)
    model.docString = text(source.doc_string)
    model.metadata = stringEntries(source.metadata_props, source.n_metadata_props)
    model.configurations = messages(source.configuration, source.n_configuration).map { opaque($0) }
    model.unknownFields = unknownFields(source.base)
    model.backing = [origin]
    return model
  }
}
