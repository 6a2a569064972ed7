import FloatExecution
import ONNXGraph
import ONNXTensor
import Testing

@Suite struct InputTests {
  /// y = image · 2 + shift, image [N, 2].
  private func executor() throws -> FloatExecutor {
    let builder = GraphSketch()
    let image = builder.input("image", .float32, [-1, 2])
    let shift = builder.input("shift", .float32, [2])
    let double = builder.node("Mul", [image, builder.constant("two", [2])], to: "double")
    builder.output(builder.node("Add", [double, shift], to: "y"))
    return try FloatExecutor(model: builder.model())
  }

  private let image = Tensor([1 as Float, 2, 3, 4], shape: [2, 2])

  private func fault(_ inputs: [String: Tensor]) throws -> ExecutionError {
    let executor = try self.executor()
    let error = try #require(throws: ExecutionError.self) { try executor.run(inputs) }
    #expect(error.code == .badInput)
    return error
  }

  @Test func allInputsGiven() throws {
    let result = try executor().run(["image": image, "shift": Tensor(10, 20)])
    #expect(result["y"]?.floats == [12, 24, 16, 28])
    #expect(result["y"]?.shape == [2, 2])
    #expect(result.count == 1)
  }

  @Test func anUnknownExtentTakesAnything() throws {
    let one = Tensor([5 as Float, 6], shape: [1, 2])
    #expect(try executor().run(["image": one, "shift": Tensor(0, 0)])["y"]?.floats == [10, 12])
  }

  @Test func aMissingInputIsNamed() throws {
    #expect(try fault(["image": image]).description.contains("'shift'"))
  }

  @Test func anInputTooManyIsNamedAndTheOthersListed() throws {
    let error = try fault(["image": image, "shift": Tensor(0, 0), "picture": image])
    #expect(error.description.contains("'picture'"))
    #expect(error.description.contains("image") && error.description.contains("shift"))
  }

  @Test(arguments: [[3], [2, 3], [1, 2, 2], []]) func aWrongShapeIsNamedWithBothShapes(shape: [Int]) throws {
    let wrong = Tensor(repeating: Float(0), shape: shape)
    let error = try fault(["image": wrong, "shift": Tensor(0, 0)])
    #expect(error.description.contains("'image'"))
    #expect(error.description.contains("[?, 2]") && error.description.contains("\(shape)"))
  }

  @Test func aWrongElementTypeIsNamedWithBothTypes() throws {
    let error = try fault(["image": Tensor([1.0, 2, 3, 4], shape: [2, 2]), "shift": Tensor(0, 0)])
    #expect(error.description.contains("'image'"))
    #expect(error.description.contains("float") && error.description.contains("double"))
  }

  @Test func aNamedExtentIsShown() throws {
    let builder = GraphSketch()
    let x = builder.input("x")
    let dimensions = [ValueType.Dimension(.parameter("batch")), ValueType.Dimension(.value(3))]
    builder.graph.inputs[0].info.type = ValueType(.tensor(.init(elementType: 1, shape: dimensions)))
    builder.output(builder.node("Neg", [x], to: "y"))
    let executor = try FloatExecutor(model: builder.model())
    let error = try #require(throws: ExecutionError.self) { try executor.run(["x": Tensor(1)]) }
    #expect(error.description.contains("[batch, 3]"))
  }

  @Test func zeroAsExportersWriteItIsUnknown() throws {
    let builder = GraphSketch()
    builder.output(builder.node("Neg", [builder.input("x", .float32, [0])], to: "y"))
    #expect(try FloatExecutor(model: builder.model()).run(["x": Tensor(1, 2)])["y"]?.floats == [-1, -2])
  }

  /// As before IR 4: initializers are graph inputs too. s = w + w is folded, y = x · s.
  private func withDefaults() throws -> FloatExecutor {
    let builder = GraphSketch()
    let x = builder.input("x")
    let w = builder.constant("w", Tensor(1, 10))
    let v = builder.constant("v", Tensor(0, 0))
    builder.graph.inputs += [Graph.Port(w), Graph.Port(v)]
    let sum = builder.node("Add", [w, w], to: "s")
    builder.output(builder.node("Add", [builder.node("Mul", [x, sum], to: "p"), v], to: "y"))
    return try FloatExecutor(model: builder.model())
  }

  @Test func initializersStandInForInputs() throws {
    #expect(try withDefaults().run(["x": Tensor(1, 1)])["y"]?.floats == [2, 20])
  }

  @Test func givenValuesWinOverInitializers() throws {
    let executor = try withDefaults()
    #expect(try executor.run(["x": Tensor(1, 1), "w": Tensor(3, 4)])["y"]?.floats == [6, 8])
    #expect(try executor.run(["x": Tensor(1, 1), "v": Tensor(5, 5)])["y"]?.floats == [7, 25])
    // For this run alone.
    #expect(try executor.run(["x": Tensor(1, 1)])["y"]?.floats == [2, 20])
  }
}
