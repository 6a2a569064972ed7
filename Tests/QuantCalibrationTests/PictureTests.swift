import ONNXTensor
import QuantCalibration
import TestSupport
import Testing

@Suite struct PictureTests {
  static func expected(_ key: String) throws -> Tensor { try array(key, of: fixture("expected.npz")) }

  private func expectPixels(_ picture: Picture, _ key: String, sourceLocation: SourceLocation = #_sourceLocation) throws
  {
    let expected = try Self.expected(key)
    #expect(
      expected.shape == [picture.height, picture.width] + (picture.channels == 1 ? [] : [3]),
      sourceLocation: sourceLocation)
    let same = expected.array(UInt8.self) == picture.pixels
    #expect(same, "pixels differ", sourceLocation: sourceLocation)
  }

  @Test(arguments: [
    ("picture.png", "pixels"), ("alpha.png", "pixels"), ("palette.png", "palette"), ("grey.png", "grey_pixels"),
    ("picture.jpg", "jpg"), ("grey.jpg", "grey_jpg"), ("cmyk.jpg", "cmyk_jpg"),
  ]) func decodesAsPillowDoes(file: String, key: String) throws {
    try expectPixels(try Picture(contentsOf: fixture(file)), key)
  }

  @Test(arguments: [(61, 20), (20, 47), (30, 23), (7, 5), (1, 1), (100, 80), (61, 94), (200, 3), (64, 64)])
  func resizesAsPillowDoes(width: Int, height: Int) throws {
    let picture = try Picture(contentsOf: fixture("picture.png"))
    try expectPixels(picture.resized(width: width, height: height), "resize_\(width)x\(height)")
  }

  @Test func greyResizesAsPillowDoes() throws {
    let picture = try Picture(contentsOf: fixture("picture.png")).converted(toChannels: 1)
    try expectPixels(picture, "grey_pixels")
    try expectPixels(picture.resized(width: 29, height: 31), "grey_resize_29x31")
  }

  private func load(_ preprocessing: Preprocessing, _ shape: [Int?], _ type: ElementType = .float32) throws -> Tensor {
    let input = InputDescription(name: "x", elementType: type, shape: shape)
    return try #require(
      try DataSet(path: fixture("picture.png"), inputs: [input], preprocessing: preprocessing).load(0)["x"])
  }

  @Test func imagenetPreprocessing() throws {
    var preprocessing = try Preprocessing(preset: "imagenet")
    try preprocessing.set("resize", "short:32")
    try preprocessing.set("crop", "28")
    expectSame(try load(preprocessing, [nil, 3, 28, 28]), try Self.expected("imagenet_nchw"))
    var tf = try Preprocessing(preset: "imagenet-tf")
    try tf.set("resize", "32")
    try tf.set("crop", "28x28")
    expectSame(try load(tf, [nil, 28, 28, 3]), try Self.expected("tf_nhwc"))
  }

  @Test func letterbox() throws {
    let preprocessing = try Preprocessing(preset: "yolox")
    expectSame(try load(preprocessing, [1, 3, 40, 40]), try Self.expected("letterbox"))
  }

  @Test func bytesAndSignedBytes() throws {
    let raw = try Preprocessing(preset: "raw")
    let pixels = try Picture(contentsOf: fixture("picture.png")).pixels
    #expect(try load(raw, [1, 47, 61, 3], .uint8).array(UInt8.self) == pixels)
    var shifted = raw
    try shifted.set("mean", "128")
    #expect(try load(shifted, [1, 47, 61, 3], .int8).array(Int8.self) == pixels.map { Int8(Int($0) - 128) })
    #expect(throws: DataError.self) { try load(raw, [1, 47, 61, 3], .int8) }
  }

  @Test func arraysOfPicturesArePreprocessedToo() throws {
    let folder = try TestFiles.scratch("pictures")
    try write(npy("|u1", [2, 2, 3], [0, 51, 102, 153, 204, 255, 1, 2, 3, 4, 5, 6]), to: "\(folder)/x.npy")
    let input = InputDescription(name: "x", elementType: .float32, shape: [1, 1, 2, 3])
    let data = try DataSet(
      path: "\(folder)/x.npy", inputs: [input], preprocessing: try Preprocessing(parsing: "scale=/51 layout=nchw"))
    #expect(data.count == 2)
    #expect(try data.load(0)["x"]?.array(Float.self) == [0, 1, 2, 3, 4, 5])
  }

  @Test func wrongSizesNameThePicture() throws {
    let error = #expect(throws: DataError.self) { try load(try Preprocessing(preset: "raw"), [1, 3, 28, 28]) }
    let text = try #require(error?.description)
    #expect(text.contains("picture.png") && text.contains("61x47") && text.contains("28x28"), "\(text)")
    #expect(throws: DataError.self) { try load(try Preprocessing(preset: "raw"), [1, 10]) }
    let input = InputDescription(name: "x", elementType: .float32, shape: [1, 3, 47, 61])
    #expect(throws: DataError.self) { try DataSet(path: fixture("picture.png"), inputs: [input]) }
  }

  @Test(arguments: Preprocessing.presetNames) func presetsPrintAndParse(name: String) throws {
    let preset = try Preprocessing(preset: name)
    #expect(try Preprocessing(parsing: preset.description) == preset)
  }

  @Test(arguments: [
    "resize=0", "resize=1x2x3", "crop=a", "mean=1,2", "std=0", "scale=0", "scale=x", "layout=hwcn", "pad=256",
    "nothing=1",
    "channels=cmyk", "resize",
  ]) func badSettingsAreRefused(text: String) {
    #expect(throws: DataError.self) { try Preprocessing(parsing: text) }
  }

  @Test(arguments: ["picture.png", "picture.jpg", "palette.png", "cmyk.jpg"])
  func damagedPicturesAreErrorsOrPictures(file: String) throws {
    let folder = try TestFiles.scratch("damaged")
    let whole = try bytes(of: fixture(file))
    let path = "\(folder)/x.png"
    for length in stride(from: 0, to: whole.count * 9 / 10, by: 97) {
      try write(whole[..<length], to: path)
      #expect(throws: DataError.self, "cut to \(length)") { try Picture(contentsOf: path) }
    }
    var generator = SeededGenerator(seed: 22)
    for _ in 0..<400 {
      var mutated = whole
      mutated[Int.random(in: 0..<mutated.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
      try write(mutated, to: path)
      _ = try? Picture(contentsOf: path)
    }
  }

  @Test func previewsCanBeWritten() throws {
    let picture = try Picture(contentsOf: fixture("picture.png"))
    let path = try TestFiles.scratch("preview") + "/p.png"
    try write(try PNGEncoder.encode(picture), to: path)
    #expect(try Picture(contentsOf: path) == picture)
  }
}
