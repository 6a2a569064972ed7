import ONNXGraph
import ONNXTensor

/// A graph run for each slice of its scan inputs, carrying state along. Opsets 8–25; opset 8 runs each sample of a batch
/// on its own, with its own length.
package enum Scan: Operator {
  package static func prepare(_ node: OperatorNode) throws -> Kernel {
    let loop = try ScanLoop(node)
    guard node.opset < 9 else { return Kernel { values, context in try loop.run(values, context) } }
    return Kernel { values, context in try batched(loop, values, context) }
  }

  private static func batched(
    _ loop: ScanLoop, _ values: [RuntimeValue?], _ context: EvaluationContext
  ) throws -> [RuntimeValue?] {
    let inputs = TensorInputs(values)
    let lengths = try inputs.optional(0)?.integers("sequence_lens")
    let tensors = try (1..<max(inputs.count, 1)).map { try inputs[$0] }
    guard tensors.count == loop.stateCount + loop.scanCount, let batch = tensors.first?.shape.first,
      tensors.allSatisfy({ $0.shape.first == batch }), batch > 0
    else {
      throw OperatorError("the inputs have no common batch axis")
    }
    if let lengths, lengths.count != batch { throw OperatorError("\(lengths.count) lengths for \(batch) samples") }
    var results: [[Tensor]] = []
    for sample in 0..<batch {
      var parts = tensors.map { tensor in
        Gathering.slice(tensor, axis: 0, at: sample, pool: context.pool)
      }
      if let length = lengths?[sample] {
        for index in loop.stateCount..<parts.count {
          guard let extent = parts[index].shape.first, (0...extent).contains(length) else {
            throw OperatorError("sequence length \(length) does not fit shape \(parts[index].shape)")
          }
          parts[index] = try DenseElements.apply(parts[index]) { Split.cut($0, axis: 0, [length], context)[0] }
        }
      }
      let outputs = try loop.run(parts.map { .tensor($0) }, context).map { value -> Tensor in
        guard let tensor = value?.tensor else { throw OperatorError("a result is not a tensor") }
        return tensor
      }
      results.append(outputs)
    }
    // Shorter sequences are filled up with zeros.
    let longest = tensors.dropFirst(loop.stateCount).first?.shape.dropFirst().first ?? 0
    return try results[0].indices.map { index in
      let parts = try results.map { outputs -> Tensor in
        var part = outputs[index]
        if index >= loop.stateCount, part.shape[0] < longest {
          let missing = [longest - part.shape[0]] + part.shape[1...]
          part = try Concat.concatenate([part, .zeros(part.elementType, shape: missing)], axis: 0, context)
        }
        return part.reshaped([1] + part.shape)
      }
      return .tensor(try Concat.concatenate(parts, axis: 0, context))
    }
  }

  /// State and, behind a batch and a time axis, what the body declares.
  private static func batchedTypes(_ node: OperatorNode, _ loop: ScanLoop, _ inputs: [InferredValue?])
    -> [InferredValue?]
  {
    let dims = ShapeInference.input(inputs, loop.stateCount)?.dimensions
    return node.outputTypes(of: loop.body).enumerated().map { index, type in
      let type = type?.tensorType
      let element = type?.elementType.flatMap(ElementType.init)
      if index < loop.stateCount { return ShapeInference.input(inputs, index) ?? .tensor(element, dimensions: nil) }
      let leading = dims.flatMap { $0.count >= 2 ? Array($0[..<2]) : nil } ?? [.unknown, .unknown]
      return .tensor(element, dimensions: type?.shape.map { leading + $0 })
    }
  }

  package static func infer(_ node: OperatorNode, _ inputs: [InferredValue?]) throws -> [InferredValue?] {
    let loop = try ScanLoop(node)
    guard node.opset >= 9 else { return batchedTypes(node, loop, Array(inputs.dropFirst())) }
    return node.outputTypes(of: loop.body).enumerated().map { index, type in
      guard let type = type?.tensorType else { return nil }
      let element = type.elementType.flatMap(ElementType.init)
      if index < loop.stateCount {
        let own = index < inputs.count ? inputs[index] : nil
        return .tensor(element ?? own?.elementType, dimensions: own?.dimensions ?? type.shape)
      }
      guard var shape = type.shape else { return .tensor(element, dimensions: nil) }
      let axis = loop.outputAxes[index - loop.stateCount]
      guard let place = try? ShapeArithmetic.axis(axis, rank: shape.count + 1) else { return nil }
      shape.insert(loop.length(inputs) ?? .unknown, at: place)
      return .tensor(element, dimensions: shape)
    }
  }
}

extension Scan {
  package static func bodyInputs(
    _ node: OperatorNode, _ body: Graph, _ inputs: [InferredValue?]
  ) -> [InferredValue?]? {
    guard node.opset >= 9, let loop = try? ScanLoop(node) else { return [] }
    return inputs.enumerated().map { index, input in
      guard index >= loop.stateCount else { return input.map { InferredValue($0.type) } }
      let place = index - loop.stateCount
      guard place < loop.scanCount, var dims = input?.dimensions,
        let axis = try? ShapeArithmetic.axis(loop.inputAxes[place], rank: dims.count)
      else { return nil }
      dims.remove(at: axis)
      return .tensor(input?.elementType, dimensions: dims)
    }
  }
}

/// The attributes of Scan and its loop over one sample.
private struct ScanLoop {
  let body: Graph
  let stateCount: Int
  let scanCount: Int
  let inputAxes: [Int]
  let outputAxes: [Int]
  let inputDirections: [Int]
  let outputDirections: [Int]

  init(_ node: OperatorNode) throws {
    body = try node.graph("body")
    guard let count = try node.int("num_scan_inputs"), count >= 1, count <= body.inputs.count else {
      throw OperatorError("attribute 'num_scan_inputs' does not fit a body of \(body.inputs.count) inputs")
    }
    scanCount = count
    stateCount = body.inputs.count - count
    guard body.outputs.count >= stateCount else { throw OperatorError("the body has too few outputs") }
    let outputCount = body.outputs.count - stateCount
    func list(_ name: String, _ count: Int) throws -> [Int] {
      let values = try node.ints(name) ?? Array(repeating: 0, count: count)
      guard values.count == count else { throw OperatorError("attribute '\(name)' must have \(count) entries") }
      return values
    }
    inputAxes = try list("scan_input_axes", count)
    inputDirections = try list(node.opset < 9 ? "directions" : "scan_input_directions", count)
    outputAxes = try list("scan_output_axes", outputCount)
    outputDirections = try list("scan_output_directions", outputCount)
  }

  func run(_ values: [RuntimeValue?], _ context: EvaluationContext) throws -> [RuntimeValue?] {
    let inputs = TensorInputs(values)
    guard inputs.count == stateCount + scanCount else {
      throw OperatorError("there are \(inputs.count) inputs, the body takes \(stateCount + scanCount)")
    }
    let sequences = try (0..<scanCount).map { index -> (Tensor, Int) in
      let tensor = try inputs[stateCount + index]
      return (tensor, try ShapeArithmetic.axis(inputAxes[index], rank: tensor.rank, name: "scan_input_axes"))
    }
    let lengths = Set(sequences.map { $0.0.shape[$0.1] })
    guard lengths.count == 1, let length = lengths.first else {
      throw OperatorError("the scan inputs have different lengths: \(lengths.sorted())")
    }
    var state = Array(values.prefix(stateCount))
    var scans = [ScanOutput](repeating: ScanOutput(), count: outputAxes.count)
    for step in 0..<length {
      let slices = sequences.enumerated().map { index, sequence -> RuntimeValue? in
        let place = inputDirections[index] == 0 ? step : length - 1 - step
        return .tensor(Gathering.slice(sequence.0, axis: sequence.1, at: place, pool: context.pool))
      }
      let results = try context.runGraph(body, state + slices)
      guard results.count == body.outputs.count else { throw OperatorError("the body gave \(results.count) values") }
      state = results.prefix(stateCount).map { $0 }
      for index in scans.indices {
        try scans[index].append(results[stateCount + index], body.outputs[stateCount + index].value.name)
      }
    }
    return try state
      + scans.enumerated().map { index, scan in
        .tensor(
          try scan.joined(
            axis: outputAxes[index], reversed: outputDirections[index] != 0,
            declared: body.outputs[stateCount + index].info.type, context))
      }
  }

  func length(_ inputs: [InferredValue?]) -> Dimension? {
    guard stateCount < inputs.count, let dims = inputs[stateCount]?.dimensions,
      let axis = try? ShapeArithmetic.axis(inputAxes[0], rank: dims.count)
    else { return nil }
    return dims[axis]
  }
}

enum Gathering {
  /// The slice at one index of an axis, without that axis; the caller has checked both.
  static func slice(_ x: Tensor, axis: Int, at index: Int, pool: BufferPool?) -> Tensor {
    if let strings = x.strings {
      let (outer, extent, inner) = ShapeArithmetic.split(x.shape, at: axis)
      let part = (0..<outer).flatMap { block -> ArraySlice<[UInt8]> in
        let start = (block * extent + index) * inner
        return strings[start..<start + inner]
      }
      return Tensor(strings: part, shape: Array(x.shape[..<axis]) + x.shape[(axis + 1)...])
    }
    if x.elementType.bitWidth < 8 {
      let part = Tensor(x.storedCodes, shape: x.shape).taking([index], axis: axis, as: [], pool: pool)
      return Tensor(codes: part.array(UInt8.self), elementType: x.elementType, shape: part.shape)
    }
    return x.taking([index], axis: axis, as: [], pool: pool)
  }
}
