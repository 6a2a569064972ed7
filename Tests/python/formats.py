"""What insertion makes besides float32 Q/DQ in the main graph, judged by onnxruntime.

Bodies of Loop, Scan and If (built here; silero-vad): quantized, accepted, close to float, complete after one run. Half precision:
models converted to float16 are quantized with float16 scales; --high-precision float16 keeps what would overflow in float32. The
form with QLinear operators gives what the Q/DQ model gives. --opset and models at opset 28.
usage: formats.py [PART...]
"""
import argparse
import pathlib
import tempfile

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.transformers.float16 import convert_float_to_float16

import metrics
import zoo
from engines import Engine
from support import Report, onnxq, shared_data, write_samples

TARGETS = "tensorrt,tensorrt-dla,onnxruntime,onnxruntime-avx2,onnxruntime-arm64,openvino,qnn,integer".split(",")


def weight(name, *shape, limit=0.25, seed=0):
    return numpy_helper.from_array(
        numpy.random.default_rng([seed, *name.encode()]).normal(0, limit, shape).astype(numpy.float32), name
    )


def info(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def model(graph, opset=17, ir=8):
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)


def loop():
    """Five rounds; the body has a weight of its own, one of the graph around it, and reads the graph's input."""
    body = helper.make_graph(
        [
            helper.make_node("Gemm", ["s", "w", "b"], ["g"]),
            helper.make_node("Relu", ["g"], ["r"]),
            helper.make_node("MatMul", ["r", "v"], ["m"]),
            helper.make_node("MatMul", ["x", "w2"], ["c"]),
            helper.make_node("Add", ["m", "c"], ["t"]),
            helper.make_node("Tanh", ["t"], ["next"]),
            helper.make_node("Identity", ["go"], ["on"]),
            helper.make_node("Identity", ["r"], ["row"]),
        ],
        "body",
        [info("i", [], TensorProto.INT64), info("go", [], TensorProto.BOOL), info("s", [4, 32])],
        [info("on", [], TensorProto.BOOL), info("next", [4, 32]), info("row", [4, 32])],
        [weight("v", 32, 32)],
    )
    count = numpy_helper.from_array(numpy.array(5, numpy.int64), "n")
    return model(
        helper.make_graph(
            [
                helper.make_node("MatMul", ["x", "w"], ["h"]),
                helper.make_node("Loop", ["n", "", "h"], ["y", "ys"], name="loop", body=body),
            ],
            "g", [info("x", [4, 32])], [info("y", [4, 32]), info("ys", [5, 4, 32])],
            [weight("w", 32, 32), weight("w2", 32, 32), weight("b", 32), count],
        )
    ), (4, 32)


def scan():
    body = helper.make_graph(
        [
            helper.make_node("Concat", ["s", "xi"], ["both"], axis=1),
            helper.make_node("Gemm", ["both", "u", "b"], ["g"]),
            helper.make_node("Relu", ["g"], ["next"]),
            helper.make_node("Identity", ["next"], ["row"]),
        ],
        "body", [info("s", [4, 32]), info("xi", [4, 32])], [info("next", [4, 32]), info("row", [4, 32])],
    )
    zero = numpy_helper.from_array(numpy.zeros((4, 32), numpy.float32), "s0")
    return model(
        helper.make_graph(
            [helper.make_node("Scan", ["s0", "x"], ["y", "ys"], name="scan", body=body, num_scan_inputs=1)],
            "g", [info("x", [6, 4, 32])], [info("y", [4, 32]), info("ys", [6, 4, 32])],
            [weight("b", 32), weight("u", 64, 32, limit=0.15), zero],
        )
    ), (6, 4, 32)


def branch():
    """Both branches name their tensors alike and share a weight of the graph around them."""
    shape = [1, 16, 12, 12]

    def body(seed):
        return helper.make_graph(
            [
                helper.make_node("Conv", ["x2", "k"], ["c"], pads=[1] * 4),
                helper.make_node("Relu", ["c"], ["r"]),
                helper.make_node("Conv", ["r", "shared"], ["o"], pads=[1] * 4),
            ],
            f"body{seed}", [], [info("o", shape)], [weight("k", 16, 16, 3, 3, seed=seed)],
        )

    return model(
        helper.make_graph(
            [
                helper.make_node("Conv", ["x", "k0"], ["x1"], pads=[1] * 4),
                helper.make_node("Relu", ["x1"], ["x2"]),
                helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
                helper.make_node("Greater", ["sum", "zero"], ["positive"]),
                helper.make_node("If", ["positive"], ["y"], name="branch", then_branch=body(1), else_branch=body(2)),
            ],
            "g", [info("x", shape)], [info("y", shape)],
            [
                weight("k0", 16, 16, 3, 3), weight("shared", 16, 16, 3, 3),
                numpy_helper.from_array(numpy.array(0, numpy.float32), "zero"),
            ],
        )
    ), tuple(shape)


def normal(shape, count):
    generator = numpy.random.default_rng(3)
    return [{"x": generator.normal(0, 1, shape).astype(numpy.float32)} for _ in range(count)]


def judge(report, name, path, samples, expected, least, optimized=(False, True)):
    """Accepted by the checker and by onnxruntime, with and without its optimization, and close to float."""
    try:
        onnx.checker.check_model(str(path), full_check=True)
        for level in optimized:
            engine = Engine(path, optimized=level)
            results = [engine.run(sample) for sample in samples]
            for output in engine.outputs:
                value = metrics.cosine([r[output] for r in expected], [r[output] for r in results])
                level_name = "optimized" if level else "exact"
                report.check(f"{name}: {output} ({level_name})", value >= least, f"cosine {value:.5f}, at least {least}")
    except Exception as error:  # several types
        report.check(f"{name}: onnxruntime", False, error)


def quantized(report, name, source, folder, *options):
    path = folder / "result.onnx"
    outcome = onnxq(
        "insert-qdq", source, "--calibration", folder / "model.calib", "-o", path, "--force", "--format", "json", *options
    )
    return (path, outcome.json) if report.check(f"{name}: insert-qdq", outcome.code == 0, outcome) else (None, None)


def calibrated(report, name, source, samples, folder):
    data = write_samples(folder / "data", samples)
    outcome = onnxq("calibrate", source, "--data", data, "-o", folder / "model.calib")
    return data if report.check(f"{name}: calibrate", outcome.code == 0, outcome) else None


def inner_pairs(path):
    def count(graph, depth):
        total = 0
        for node in graph.node:
            total += depth > 0 and node.op_type == "QuantizeLinear"
            total += sum(count(a.g, depth + 1) for a in node.attribute if a.type == onnx.AttributeProto.GRAPH)
        return total

    return count(onnx.load(path).graph, 0)


def subgraphs(report):
    cases = []
    for build in (loop, scan, branch):
        made, shape = build()
        cases.append((build.__name__, made, normal(shape, 24), ()))
    if shared_data() is not None:
        entry = zoo.entries(names=["silero-vad"])[0]
        # The branch for 8 kHz sees no data.
        cases.append((entry.name, onnx.load(entry.path), entry.calibration(24), ("--missing-data", "float")))
    for name, made, samples, options in cases:
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            source = folder / "model.onnx"
            onnx.save(made, source)
            data = calibrated(report, name, source, samples[:16], folder)
            if data is None:
                continue
            exact = Engine(source)
            expected = [exact.run(sample) for sample in samples]
            for target in TARGETS:
                title = f"{name} for {target}"
                path, result = quantized(report, title, source, folder, "--target", target, *options)
                if path is None:
                    continue
                report.check(f"{title}: pairs in the bodies", inner_pairs(path) > 0, result["pairs"])
                judge(report, title, path, samples, expected, 0.99)
                again = onnxq(
                    "insert-qdq", path, "--target", target, "--calibration", folder / "model.calib", "-o",
                    folder / "again.onnx", "--force", "--format", "json", *options,
                )
                report.check(f"{title}: complete", again.code == 0 and again.json["unchanged"], again)
            outcome = onnxq("verify", source, path, "--data", data, "--min-sqnr", "15", "--format", "json")
            same = outcome.code == 0 and len(outcome.json["tensors"]) > 0
            report.check(f"{name}: verify sees tensors of the bodies", same, outcome)


def precisions(path):
    found = onnx.load(path)
    types = {initializer.name: initializer.data_type for initializer in found.graph.initializer}
    return {types.get(node.input[1]) for node in found.graph.node if node.op_type.endswith("izeLinear")}


def half(report):
    for name, least in (("resnet20", 0.99), ("mobilenetv1-nchw", 0.98)):
        entry = zoo.entries(names=[name])[0]
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            source = folder / "half.onnx"
            onnx.save(convert_float_to_float16(onnx.load(entry.path), keep_io_types=True), source)
            samples = entry.calibration(16)
            data = calibrated(report, name, source, samples, folder)
            if data is None:
                continue
            exact = Engine(source)
            expected = [exact.run(sample) for sample in samples]
            for target in ("onnxruntime", "tensorrt", "integer"):
                title = f"{name} in float16 for {target}"
                path, result = quantized(report, title, source, folder, "--target", target)
                if path is None:
                    continue
                report.check(f"{title}: scales are float16", precisions(path) == {TensorProto.FLOAT16}, precisions(path))
                report.check(f"{title}: opset 19", onnx.load(path).opset_import[0].version == 19)
                # onnxruntime 1.32 quantizes float16 biases by scales that float16 cannot hold when it optimizes.
                judge(report, title, path, samples, expected, least, (False, True) if target == "onnxruntime" else (False,))
            outcome = onnxq("verify", source, path, "--data", data, "--format", "json")
            report.check(f"{name} in float16: verify", outcome.code == 0, outcome)


def high_precision(report):
    for name, least in (("resnet20", 0.99), ("minilm", 0.97)):
        entry = zoo.entries(names=[name])[0]
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            samples = entry.calibration(8)
            if calibrated(report, name, entry.path, samples, folder) is None:
                continue
            exact = Engine(entry.path)
            expected = [exact.run(sample) for sample in samples]
            title = f"{name} with --high-precision float16"
            path, result = quantized(
                report, title, entry.path, folder, "--target", "onnxruntime", "--high-precision", "float16"
            )
            if path is None:
                continue
            judge(report, title, path, samples, expected, least)
            kept = [change for change in result["changes"] if "stays float32" in change["action"]]
            # The attention mask of -3.4e38 overflows float16.
            report.check(f"{title}: what overflows", bool(kept) == (name == "minilm"), kept[:3])
            report.line(f"  {title}: {len(kept)} nodes stay float32")


def integer_operators(report):
    for name in ("resnet20", "mobilenetv1-nchw", "tiny-ic-resnet8", "mnist-8", "fastestdet"):
        entry = zoo.entries(names=[name])[0]
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            samples = entry.calibration(16)
            if calibrated(report, name, entry.path, samples, folder) is None:
                continue
            for target in ("onnxruntime", "onnxruntime-arm64"):
                title = f"{name} with QLinear operators for {target}"
                path, result = quantized(report, title, entry.path, folder, "--target", target)
                if path is None:
                    continue
                fused = Engine(path, optimized=True)
                expected = [fused.run(sample) for sample in samples]
                path, result = quantized(
                    report, title, entry.path, folder, "--target", target, "--quant-format", "qoperator"
                )
                if path is None:
                    continue
                try:
                    engine = Engine(path)
                    results = [engine.run(sample) for sample in samples]
                except Exception as error:  # several types
                    report.check(f"{title}: onnxruntime", False, error)
                    continue
                kinds = [node.op_type for node in onnx.load(path).graph.node]
                report.check(f"{title}: no Conv is left in float", "Conv" not in kinds, kinds)
                # Fused as float tails are, or, where onnxruntime turns int8 into uint8 on x64, with other roundings.
                for output in engine.outputs:
                    wanted, got = (numpy.stack([r[output] for r in results_of]) for results_of in (expected, results))
                    if target == "onnxruntime":
                        difference = float(numpy.abs(wanted - got).max() / numpy.abs(wanted).max())
                        report.check(f"{title}: {output} equals the Q/DQ model's", difference <= 2e-6, f"differs by {difference}")
                    else:
                        value = metrics.cosine(wanted, got)
                        report.check(f"{title}: {output} as the Q/DQ model's", value >= 0.99, f"cosine {value}")
                report.line(f"  {title}: {sum(k.startswith('Q') and k != 'QuantizeLinear' for k in kinds)} of {len(kinds)} nodes")


def opsets(report):
    made, shape = scan()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        source = folder / "late.onnx"
        made.opset_import[0].version = 28
        made.ir_version = 14
        onnx.save(made, source)
        samples = normal(shape, 8)
        if calibrated(report, "opset 28", source, samples, folder) is None:
            return
        path, result = quantized(report, "opset 28", source, folder, "--target", "onnxruntime")
        if path is not None:
            report.check("opset 28 becomes 27 for onnxruntime", onnx.load(path).opset_import[0].version == 27)
            Engine(path)
        path, result = quantized(report, "opset 28", source, folder, "--target", "tensorrt")
        if path is not None:
            report.check("opset 28 stays for tensorrt", onnx.load(path).opset_import[0].version == 28)
        for opset in (12, 28):
            outcome = onnxq(
                "insert-qdq", source, "--calibration", folder / "model.calib", "-o", folder / "no.onnx", "--target",
                "onnxruntime", "--opset", opset,
            )
            report.check(f"--opset {opset} is refused", outcome.code in (2, 3) and not outcome.crashed, outcome)


PARTS = {
    "subgraphs": subgraphs, "half": half, "high-precision": high_precision, "integer-operators": integer_operators,
    "opsets": opsets,
}
NEED_DATA = ("half", "high-precision", "integer-operators")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    options = parser.parse_args()
    report = Report("subgraphs, precisions, forms and opsets")
    for name in options.parts or PARTS:
        if name in NEED_DATA and shared_data() is None:
            report.skip(name, "../shared/data is not there")
            continue
        PARTS[name](report)
    report.finish()


if __name__ == "__main__":
    main()
