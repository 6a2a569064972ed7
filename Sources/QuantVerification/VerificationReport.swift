/// What `verify` found; the JSON document has the same fields.
package struct VerificationReport: Sendable {
  package enum Pair: String, Sendable {
    case floatFakeQuant = "float/fake-quant"
    case floatInteger = "float/integer"
    case fakeQuantInteger = "fake-quant/integer"
    case referenceFloat = "reference/float"
  }

  package struct Entry: Sendable {
    package var name: String
    package var pair: Pair
    package var metrics: ErrorMetrics

    package init(name: String, pair: Pair, metrics: ErrorMetrics) {
      self.name = name
      self.pair = pair
      self.metrics = metrics
    }
  }

  /// Percent of samples; nil where it was not measured.
  package struct Rates: Sendable {
    package var float: Double?
    package var fakeQuant: Double?
    package var integer: Double?

    package init(float: Double? = nil, fakeQuant: Double? = nil, integer: Double? = nil) {
      self.float = float
      self.fakeQuant = fakeQuant
      self.integer = integer
    }
  }

  package struct Macs: Sendable {
    package var total: Int
    package var integer: Int
    package var share: Double { total == 0 ? 0 : Double(integer) / Double(total) }

    package init(total: Int, integer: Int) {
      self.total = total
      self.integer = integer
    }
  }

  package struct FloatIsland: Sendable {
    package var node: String
    package var opType: String
    package var macs: Int
    package var reason: String

    package init(node: String, opType: String, macs: Int, reason: String) {
      self.node = node
      self.opType = opType
      self.macs = macs
      self.reason = reason
    }
  }

  package var samples = 0
  package var labelled = 0
  package var outputs: [Entry] = []
  /// Quantized tensors against their float twins, worst first.
  package var tensors: [Entry] = []
  package var topOne: Rates?
  package var agreement: Rates?
  package var macs: Macs?
  /// Outputs of the integer executor that the float32 multiplier of ONNX Runtime would round differently.
  package var ties: Int?
  package var floatIslands: [FloatIsland] = []
  package var failures: [String] = []

  package init() {}

  package var passed: Bool { failures.isEmpty }
}
