extension VerificationReport {
  /// Fills `failures` with one line per demand that is not met.
  package mutating func judge(_ thresholds: VerificationThresholds) {
    failures = []
    if samples == 0 { failures.append("no samples were compared") }
    for output in outputs {
      let subject = "output '\(output.name)' (\(output.pair.rawValue))"
      switch output.pair {
      case .referenceFloat:
        if let least = thresholds.minimumReferenceSQNR, output.metrics.sqnr < least {
          failures.append("\(subject): SQNR \(decibels(output.metrics.sqnr)) is below \(decibels(least))")
        }
      case .floatFakeQuant, .floatInteger:
        if let least = thresholds.minimumSQNR, output.metrics.sqnr < least {
          failures.append("\(subject): SQNR \(decibels(output.metrics.sqnr)) is below \(decibels(least))")
        }
        if let least = thresholds.minimumCosine, output.metrics.cosine < least {
          failures.append("\(subject): cosine \(fixed(output.metrics.cosine, 4)) is below \(fixed(least, 4))")
        }
      case .fakeQuantInteger: break
      }
    }
    if let least = thresholds.minimumAgreement, let agreement {
      for (name, rate) in [("fake-quant", agreement.fakeQuant), ("integer", agreement.integer)] {
        if let rate, rate < least {
          failures.append("top-1 agreement of \(name) with float is \(fixed(rate, 2)) %, below \(fixed(least, 2)) %")
        }
      }
    }
    if let most = thresholds.maximumDrop {
      guard let topOne, let float = topOne.float else {
        failures.append("--max-drop needs labels, and a first output that scores classes")
        return
      }
      for (name, rate) in [("fake-quant", topOne.fakeQuant), ("integer", topOne.integer)] {
        if let rate, float - rate > most {
          failures.append(
            "top-1 of \(name) is \(fixed(rate, 2)) %, \(fixed(float - rate, 2)) points below float; "
              + "at most \(fixed(most, 2)) are allowed")
        }
      }
    }
  }
}

/// A number with a fixed count of decimals, rounded half to even; `inf`, `-inf`, `nan` as such.
package func fixed(_ value: Double, _ decimals: Int) -> String {
  guard value.isFinite else { return "\(value)" }
  var scale = 1.0
  for _ in 0..<decimals { scale *= 10 }
  let scaled = (value.magnitude * scale).rounded(.toNearestOrEven)
  guard scaled < 1e15 else { return "\(value)" }
  let digits = String(Int(scaled))
  let padded = String(repeating: "0", count: max(0, decimals + 1 - digits.count)) + digits
  let sign = value < 0 && scaled != 0 ? "-" : ""
  return decimals == 0 ? sign + padded : sign + padded.dropLast(decimals) + "." + padded.suffix(decimals)
}

/// Decibels with one decimal.
package func decibels(_ value: Double) -> String { value.isFinite ? fixed(value, 1) + " dB" : "\(value) dB" }
