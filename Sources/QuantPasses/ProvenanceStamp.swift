import ONNXGraph

/// What a written model says of its making, in its metadata: enough to make it again, no time and no path.
package struct ProvenanceStamp: Sendable, Equatable {
  package var version: String
  package var target: String
  /// The options that differ from the defaults, as typed, sorted.
  package var options: [String]
  package var modelHash: String?
  package var statisticsHash: String?

  package init(
    version: String, target: String, options: [String] = [], modelHash: String? = nil, statisticsHash: String? = nil
  ) {
    self.version = version
    self.target = target
    self.options = options.sorted()
    self.modelHash = modelHash
    self.statisticsHash = statisticsHash
  }

  package static let versionKey = "onnxq.version"
  package static let targetKey = "onnxq.target"
  package static let optionsKey = "onnxq.options"
  package static let modelKey = "onnxq.source_sha256"
  package static let statisticsKey = "onnxq.statistics_sha256"

  /// Names of the tensors that rescue left float, a line each.
  static let floatKey = "onnxq.float_tensors"

  package func apply(to model: Model) {
    model.setMetadata(Self.versionKey, version)
    model.setMetadata(Self.targetKey, target)
    if !options.isEmpty { model.setMetadata(Self.optionsKey, options.joined(separator: " ")) }
    if let modelHash { model.setMetadata(Self.modelKey, modelHash) }
    if let statisticsHash { model.setMetadata(Self.statisticsKey, statisticsHash) }
  }

  /// The stamp of a model that onnxq wrote.
  package init?(_ model: Model) {
    guard let version = model.metadataValue(Self.versionKey), let target = model.metadataValue(Self.targetKey) else {
      return nil
    }
    self.init(
      version: version, target: target,
      options: model.metadataValue(Self.optionsKey)?.split(separator: " ").map(String.init) ?? [],
      modelHash: model.metadataValue(Self.modelKey), statisticsHash: model.metadataValue(Self.statisticsKey))
  }
}

extension Model {
  /// Tensors that an insertion has left float to save their signal: a later one does not quantize them.
  var floatTensors: [String] {
    get {
      metadataValue(ProvenanceStamp.floatKey)?.split(separator: "\n").map(String.init) ?? []
    }
    set {
      if !newValue.isEmpty { setMetadata(ProvenanceStamp.floatKey, newValue.joined(separator: "\n")) }
    }
  }
}
