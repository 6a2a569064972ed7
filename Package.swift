// swift-tools-version: 6.2
import PackageDescription

// The layer table. A target imports only targets of lower layers; `LayeringTests` holds the import lines against it.
// Layer 0: system libraries.  1: C and tensors.  2: graph, kernels.  3: format, quantization arithmetic.
// 4: operators.  5: float execution.  6: integer execution.  7: passes, calibration.  8: verification.
// 9: the library product.  10: the command line.

let swift: [SwiftSetting] = [
  .enableUpcomingFeature("ExistentialAny"),
  .treatAllWarnings(as: .error),
]

func system(_ name: String, pkgConfig: String, apt: String) -> Target {
  .systemLibrary(name: name, pkgConfig: pkgConfig, providers: [.apt([apt])])
}

func layer(_ name: String, _ dependencies: [String], packages: [Target.Dependency] = []) -> Target {
  .target(name: name, dependencies: dependencies.map { .byName(name: $0) } + packages, swiftSettings: swift)
}

func tests(
  _ name: String, _ dependencies: [String], packages: [Target.Dependency] = [], excluding exclude: [String] = []
) -> Target {
  .testTarget(
    name: name, dependencies: (dependencies + ["TestSupport"]).map { .byName(name: $0) } + packages,
    exclude: exclude, swiftSettings: swift)
}

let package = Package(
  name: "onnxq",
  products: [
    .library(name: "ONNXQuantizer", targets: ["ONNXQuantizer"]),
    .executable(name: "onnxq", targets: ["onnxq"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
  ],
  targets: [
    system("CProtobufC", pkgConfig: "libprotobuf-c", apt: "libprotobuf-c-dev"),
    system("CZlib", pkgConfig: "zlib", apt: "zlib1g-dev"),
    system("CJPEG", pkgConfig: "libturbojpeg", apt: "libturbojpeg0-dev"),
    system("CPNG", pkgConfig: "libpng", apt: "libpng-dev"),
    system("CNettle", pkgConfig: "nettle", apt: "nettle-dev"),

    .target(name: "COnnx", dependencies: ["CProtobufC"]),
    .target(name: "CKernels", linkerSettings: [.linkedLibrary("m"), .linkedLibrary("pthread")]),
    layer("ONNXTensor", []),

    layer("ONNXGraph", ["ONNXTensor"]),
    layer("FloatKernels", ["CKernels", "ONNXTensor"]),
    layer("IntegerKernels", ["CKernels", "ONNXTensor"]),

    layer("ONNXFormat", ["COnnx", "CNettle", "ONNXTensor", "ONNXGraph"]),
    layer("QuantCore", ["CKernels", "CNettle", "ONNXTensor", "ONNXGraph"]),

    layer("OperatorLibrary", ["ONNXTensor", "ONNXGraph", "FloatKernels", "QuantCore"]),
    layer("FloatExecution", ["ONNXTensor", "ONNXGraph", "FloatKernels", "OperatorLibrary"]),
    layer(
      "IntegerExecution",
      [
        "CKernels", "ONNXTensor", "ONNXGraph", "FloatKernels", "IntegerKernels", "ONNXFormat", "QuantCore",
        "OperatorLibrary", "FloatExecution",
      ]),
    layer(
      "QuantPasses",
      ["ONNXTensor", "ONNXGraph", "FloatKernels", "QuantCore", "OperatorLibrary", "FloatExecution"]),
    layer(
      "QuantCalibration",
      [
        "CZlib", "CJPEG", "CPNG", "CNettle", "ONNXTensor", "ONNXGraph", "FloatKernels", "ONNXFormat", "QuantCore",
        "OperatorLibrary", "FloatExecution",
      ]),
    layer(
      "QuantVerification",
      [
        "ONNXTensor", "ONNXGraph", "ONNXFormat", "QuantCore", "OperatorLibrary", "FloatExecution", "IntegerExecution",
        "QuantPasses", "QuantCalibration",
      ]),
    layer(
      "ONNXQuantizer",
      [
        "ONNXTensor", "ONNXGraph", "ONNXFormat", "QuantCore", "OperatorLibrary", "FloatKernels", "FloatExecution",
        "IntegerExecution", "QuantPasses", "QuantCalibration", "QuantVerification",
      ]),
    .executableTarget(
      name: "onnxq",
      dependencies: [
        "ONNXQuantizer", .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Yams", package: "Yams"),
      ],
      swiftSettings: swift),

    .target(
      name: "TestSupport", dependencies: ["ONNXTensor", "ONNXGraph", "ONNXFormat"], path: "Tests/TestSupport",
      swiftSettings: swift),
    tests("ONNXTensorTests", ["ONNXTensor"]),
    tests("ONNXGraphTests", ["ONNXTensor", "ONNXGraph", "ONNXFormat"]),
    tests("FloatKernelsTests", ["CKernels", "ONNXTensor", "FloatKernels"]),
    tests("IntegerKernelsTests", ["CKernels", "ONNXTensor", "IntegerKernels"]),
    tests("ONNXFormatTests", ["COnnx", "ONNXTensor", "ONNXGraph", "ONNXFormat"]),
    tests("QuantCoreTests", ["ONNXTensor", "ONNXGraph", "QuantCore"]),
    tests(
      "OperatorLibraryTests",
      ["ONNXTensor", "ONNXGraph", "FloatKernels", "OperatorLibrary", "FloatExecution", "ONNXFormat"],
      excluding: ["known_inference_gaps.txt"]),
    tests("FloatExecutionTests", ["ONNXTensor", "ONNXGraph", "FloatKernels", "ONNXFormat", "FloatExecution"]),
    tests(
      "IntegerExecutionTests",
      [
        "ONNXTensor", "ONNXGraph", "ONNXFormat", "FloatKernels", "QuantCore", "OperatorLibrary", "FloatExecution",
        "IntegerExecution",
      ]),
    tests(
      "QuantPassesTests",
      ["ONNXTensor", "ONNXGraph", "ONNXFormat", "QuantCore", "OperatorLibrary", "FloatExecution", "QuantPasses"]),
    tests(
      "QuantCalibrationTests",
      [
        "ONNXTensor", "ONNXGraph", "FloatKernels", "ONNXFormat", "QuantCore", "OperatorLibrary", "FloatExecution",
        "QuantCalibration",
      ]),
    tests("QuantVerificationTests", ["ONNXTensor", "ONNXGraph", "QuantVerification"]),
    tests("ONNXQuantizerTests", ["ONNXQuantizer"]),
    tests("EndToEndTests", ["ONNXTensor", "ONNXGraph", "ONNXFormat", "QuantCore", "FloatExecution"]),
    tests("RepositoryTests", ["OperatorLibrary", "QuantPasses"]),
  ],
  swiftLanguageModes: [.v6]
)
