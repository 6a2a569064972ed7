// swift-tools-version: 6.2
import PackageDescription

let package = Package(
  name: "quantize",
  // In a package of your own: .package(url: "…/onnxq", from: "0.1.0")
  dependencies: [.package(name: "onnxq", path: "../../..")],
  targets: [
    .executableTarget(name: "quantize", dependencies: [.product(name: "ONNXQuantizer", package: "onnxq")])
  ]
)
