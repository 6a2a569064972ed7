/// The statistics of a model's tensors, by tensor name.
package struct ModelStatistics: Sendable, Equatable {
  package var tensors: [String: TensorStatistics] = [:]
  /// Samples that were run.
  package var samples: UInt64 = 0

  package init() {}

  package subscript(name: String) -> TensorStatistics? { tensors[name] }

  package mutating func merge(_ other: ModelStatistics) throws(StatisticsError) {
    let (sum, overflow) = samples.addingReportingOverflow(other.samples)
    if overflow { throw .overflow }
    samples = sum
    for (name, theirs) in other.tensors {
      if tensors[name] == nil {
        tensors[name] = theirs
      } else {
        try tensors[name]?.merge(theirs)
      }
    }
  }
}
