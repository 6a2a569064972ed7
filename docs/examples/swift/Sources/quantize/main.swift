// Calibrates a model, inserts Q/DQ and checks the result: quantize FIXTURE_FOLDER OUTPUT_FOLDER
import ONNXQuantizer

guard CommandLine.arguments.count == 3 else { fatalError("usage: quantize FIXTURE_FOLDER OUTPUT_FOLDER") }
let (folder, output) = (CommandLine.arguments[1], CommandLine.arguments[2])

let model = try ModelFile(path: folder + "/digits.onnx")
var statistics = try Calibration(DataOptions(path: folder + "/calibration")).run(model).statistics
try statistics.write(to: output + "/digits.calib")

var settings = InsertionSettings()
settings.target = "onnxruntime"
let result = try Insertion(settings).run(model.path, statistics: statistics)
try result.write(to: output + "/digits.qdq.onnx")
print("\(result.pairs) Q/DQ pairs for \(result.target), from \(statistics.samples) samples")
for decision in result.decisions.prefix(3) { print("  \(decision.tensor): \(decision.reason) [\(decision.rule)]") }

var verification = VerificationRun(DataOptions(path: folder + "/test"))
verification.labels = folder + "/labels.txt"
let report = try verification.run(model, quantized: ModelFile(path: output + "/digits.qdq.onnx"))
print(report.text(worst: 1))
