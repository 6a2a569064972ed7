import ONNXFormat
import ONNXTensor

/// Part of a data set: a file or a folder that belongs together.
protocol SampleSource {
  /// One name per sample, in order.
  var sampleNames: [String] { get }
  /// The files that it reads, in order.
  var files: [String] { get }
  /// The inputs of one sample, checked against the model's.
  func load(_ index: Int) throws(DataError) -> [String: Tensor]
}

/// One picture.
struct PictureSource: SampleSource {
  let name: String
  let path: String
  let input: InputDescription
  let preprocessing: Preprocessing

  var sampleNames: [String] { [name] }
  var files: [String] { [path] }

  func load(_ index: Int) throws(DataError) -> [String: Tensor] {
    let picture = try Picture(contentsOf: path)
    return [input.name: try preprocessing.tensor(picture, for: input, location: path)]
  }
}

/// A `test_data_set_*` folder: one sample, `input_N.pb` in the order of the model's inputs or by the names inside.
struct TestDataSource: SampleSource {
  let name: String
  let files: [String]
  let inputs: [InputDescription]

  var sampleNames: [String] { [name] }

  func load(_ index: Int) throws(DataError) -> [String: Tensor] {
    var result: [String: Tensor] = [:]
    for (position, path) in files.enumerated() {
      let stored: (name: String?, value: RuntimeValue)
      do {
        stored = try ValueFile.load(path: path)
      } catch {
        throw DataError(error)
      }
      guard let tensor = stored.value.tensor else { throw DataError(.mismatch, "does not hold a tensor", at: path) }
      let named = inputs.first { $0.name == stored.name }
      guard let input = named ?? (position < inputs.count ? inputs[position] : nil) else {
        throw DataError(.mismatch, "has no input to go to: the model has \(inputs.count)", at: path)
      }
      guard input.accepts(tensor.shape) else {
        throw DataError(
          .mismatch, "has shape \(tensor.shape), input '\(input.name)' is \(input.typeText)", at: path)
      }
      result[input.name] = try tensor.converted(to: input, location: path)
    }
    for input in inputs where result[input.name] == nil {
      throw DataError(.mismatch, "has no value for input '\(input.name)'", at: name)
    }
    return result
  }
}

/// NumPy arrays, one per input, that hold one sample or many along axis 0.
final class ArraySource: SampleSource {
  let sampleNames: [String]
  let files: [String]
  private let bindings: [(input: InputDescription, array: ArrayFile, form: ArrayForm)]

  /// - Parameter name: what the samples are called; those of a stack of more than one get their index.
  init(
    name: String, files: [String], arrays: [(input: InputDescription, array: ArrayFile)], preprocessing: Preprocessing?
  ) throws(DataError) {
    self.files = files
    var bindings: [(input: InputDescription, array: ArrayFile, form: ArrayForm)] = []
    for (input, array) in arrays {
      bindings.append((input, array, try ArrayForm(array, input, preprocessing)))
    }
    let counts = Set(bindings.map(\.form.sampleCount))
    guard counts.count == 1, let count = counts.first else {
      throw DataError(
        .mismatch,
        "its arrays hold different numbers of samples: "
          + bindings.map { "\($0.input.name) \($0.form.sampleCount)" }.joined(separator: ", "),
        at: name)
    }
    self.bindings = bindings
    let isStack = bindings.contains { $0.form.isStack }
    sampleNames = isStack && count != 1 ? (0..<count).map { "\(name)[\($0)]" } : [name]
  }

  func load(_ index: Int) throws(DataError) -> [String: Tensor] {
    var result: [String: Tensor] = [:]
    for binding in bindings {
      result[binding.input.name] = try binding.form.sample(index, of: binding.array, for: binding.input)
    }
    return result
  }
}

/// How an array holds samples for an input.
enum ArrayForm {
  /// The array is the sample; it may lack the axis of the batch.
  case single(shape: [Int])
  /// Samples along axis 0, `batch` rows each.
  case stack(count: Int, batch: Int)
  /// 8-bit pictures along axis 0: rows, columns and perhaps channels.
  case pictures(count: Int, width: Int, height: Int, channels: Int, Preprocessing)

  init(_ array: ArrayFile, _ input: InputDescription, _ preprocessing: Preprocessing?) throws(DataError) {
    let shape = array.shape
    let mayBePictures = array.header.elementType == .uint8 && (3...4).contains(shape.count) && preprocessing == nil
    let misfit = DataError(
      .mismatch, "has shape \(shape), input '\(input.name)' is \(input.typeText)", at: array.location,
      advice: mayBePictures ? "if these are pictures, say how they are scaled: --preset raw, mnist, …" : nil)
    if let preprocessing, array.header.elementType == .uint8, (3...4).contains(shape.count),
      shape.count == 3 || shape[3] == 1 || shape[3] == 3, !shape.contains(0),
      input.shape.map({ $0.count >= 3 }) ?? false
    {
      self = .pictures(
        count: shape[0], width: shape[2], height: shape[1], channels: shape.count == 4 ? shape[3] : 1, preprocessing)
      return
    }
    guard let wanted = input.shape else {
      self = .single(shape: shape)
      return
    }
    // A batch axis is axis 0 of an input with more axes, of extent 1 or open.
    let hasBatch = wanted.count >= 2 && (wanted[0] == nil || wanted[0] == 1)
    if shape.count == wanted.count {
      let fits = zip(wanted, shape).dropFirst().allSatisfy { $0 == nil || $0 == $1 }
      let batch = hasBatch ? 1 : (wanted.first ?? nil) ?? shape.first ?? 1
      guard fits else { throw misfit }
      if shape.isEmpty || (!hasBatch && input.accepts(shape)) {
        self = .single(shape: shape)
      } else {
        guard shape[0] > 0, batch > 0, shape[0] % batch == 0 else { throw misfit }
        self = .stack(count: shape[0] / batch, batch: batch)
      }
    } else if hasBatch, input.accepts([1] + shape) {
      self = .single(shape: [1] + shape)
    } else {
      throw misfit
    }
  }

  var isStack: Bool { if case .single = self { false } else { true } }

  var sampleCount: Int {
    switch self {
    case .single: 1
    case .stack(let count, _): count
    case .pictures(let count, _, _, _, _): count
    }
  }

  func sample(_ index: Int, of array: ArrayFile, for input: InputDescription) throws(DataError) -> Tensor {
    switch self {
    case .single(let shape):
      return try array.tensor().reshaped(shape).converted(to: input, location: array.location)
    case .stack(_, let batch):
      return try array.rows(index * batch..<(index + 1) * batch).converted(to: input, location: array.location)
    case .pictures(_, let width, let height, let channels, let preprocessing):
      let pixels = try array.rows(index..<index + 1).array(UInt8.self)
      let picture = Picture(width: width, height: height, channels: channels, pixels: pixels)
      return try preprocessing.tensor(picture, for: input, location: "\(array.location)[\(index)]")
    }
  }
}
