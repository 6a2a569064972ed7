"""`onnxq strip` and `lint --fix` on the models of the zoo.

strip: a model quantized with nothing folded and no bias corrected comes back with the nodes of the original, one by one;
with `--original` its weights are the same bytes and it computes the same; without, every Q and DQ on a float is gone and
onnxruntime runs it. lint --fix: what it marks as fixable is gone, and onnxruntime computes the same bits.
usage: strip_and_fix.py [MODEL...]
"""
import argparse
import pathlib
import shutil
import tempfile

import numpy
import onnx

import zoo
from engines import Engine
from support import Report, onnxq, write_samples

PAIR = ("QuantizeLinear", "DequantizeLinear")
TARGETS = ("onnxruntime", "tensorrt", "integer")


def operators(graph, constants=frozenset()):
    """Its nodes but Q/DQ and the Constant nodes of `constants`."""
    return [
        node
        for node in graph.node
        if node.op_type not in PAIR and not (node.op_type == "Constant" and node.output[0] in constants)
    ]


def graphs(graph):
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from graphs(attribute.g)


def constants(model):
    """The initializers and Constant tensors of all its graphs."""
    result = {}
    for number, graph in enumerate(graphs(model.graph)):
        for tensor in graph.initializer:
            result[number, tensor.name] = onnx.numpy_helper.to_array(tensor)
        for node in graph.node:
            for attribute in node.attribute:
                if node.op_type == "Constant" and attribute.name == "value":
                    result[number, node.output[0]] = onnx.numpy_helper.to_array(attribute.t)
    return result


def opset(model):
    return next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))


def described(node):
    """Its attributes, but for nested graphs."""
    return sorted(
        (attribute.name, attribute.SerializeToString())
        for attribute in node.attribute
        if attribute.type != onnx.AttributeProto.GRAPH
    )


def same_nodes(report, name, source, result):
    """Node by node, with the same operands and results by name, as far as names are the model's own.

    What was raised to a higher opset may spell its attributes otherwise. A weight that was a Constant node may be an
    initializer.
    """
    unraised = opset(source) == opset(result)
    before, after = list(graphs(source.graph)), list(graphs(result.graph))
    report.check(f"{name}: as many graphs", len(before) == len(after), f"{len(after)}, not {len(before)}")
    for expected, got in zip(before, after):
        moved = {tensor.name for tensor in got.initializer}
        expected, got = operators(expected, moved), operators(got)
        if not report.check(f"{name}: as many nodes", len(expected) == len(got), f"{len(got)}, not {len(expected)}"):
            return
        different = [
            before.name or before.op_type
            for before, after in zip(expected, got)
            if before.op_type != after.op_type or unraised and described(before) != described(after)
            or list(before.output) != list(after.output) or unraised and len(before.input) != len(after.input)
        ]
        if not report.check(f"{name}: the same nodes", not different, ", ".join(different[:5])):
            return


def strip(report, entry, folder):
    samples = entry.calibration(2)
    data = write_samples(folder / "data", samples)
    statistics = folder / "model.calib"
    outcome = onnxq("calibrate", entry.path, "--data", data, "-o", statistics)
    if not report.check(f"{entry.name}: calibrate", outcome.code == 0, outcome):
        return
    source = onnx.load(str(entry.path))
    sample = entry.evaluation(1)[0]
    expected = Engine(entry.path).run(sample)
    for target in TARGETS:
        name = f"{entry.name} for {target}"
        quantized = folder / f"{target}.onnx"
        outcome = onnxq(
            "insert-qdq", entry.path, "--target", target, "--calibration", statistics, "--missing-data", "float",
            "--bias-correction", "none", "--fold", "none", "-o", quantized,
        )
        if not report.check(f"{name}: insert-qdq", outcome.code == 0, outcome):
            continue
        had = sum(node.op_type in PAIR for graph in graphs(source.graph) for node in graph.node)
        for options in ((), ("--original", entry.path)):
            label = f"{name}, stripped" + (" with the original" if options else "")
            stripped = folder / "stripped.onnx"
            outcome = onnxq("strip", quantized, "-o", stripped, "--force", *options)
            if not report.check(f"{label}", outcome.code == 0, outcome):
                continue
            result = onnx.load(str(stripped))
            left = sum(node.op_type in PAIR for graph in graphs(result.graph) for node in graph.node)
            report.check(f"{label}: no Q/DQ is left", left == 0 or had > 0, left)
            if had == 0:
                same_nodes(report, label, source, result)
            outputs = Engine(stripped).run(sample)
            if not options:
                report.check(
                    f"{label}: it computes",
                    all(numpy.shape(outputs[key]) == numpy.shape(expected[key]) for key in expected),
                )
                continue
            weights = constants(source)
            changed = [
                key
                for key, value in constants(result).items()
                if key in weights and (value.dtype != weights[key].dtype or value.tobytes() != weights[key].tobytes())
            ]
            report.check(f"{label}: the same weights", not changed, ", ".join(key[1] for key in changed[:5]))
            different = [key for key in expected if not numpy.array_equal(outputs[key], expected[key], equal_nan=True)]
            report.check(f"{label}: the same outputs", not different or had > 0, ", ".join(different))


def fix(report, entry, folder):
    sample = entry.evaluation(1)[0]
    # External data is named by its place beside the model.
    source = pathlib.Path(shutil.copytree(entry.path.parent, folder / "model")) / entry.path.name
    folder = source.parent
    for target in ("onnxruntime", "tensorrt", "openvino"):
        label = f"{entry.name}: lint --fix for {target}"
        before = onnxq("lint", source, "--target", target, "--format", "json", "--quiet")
        fixed = folder / f"fixed-{target}.onnx"
        outcome = onnxq(
            "lint", source, "--target", target, "--fix", "-o", fixed, "--force", "--format", "json", "--quiet"
        )
        if not report.check(label, outcome.code in (0, 1) and before.code in (0, 1), outcome):
            continue
        wanted = sum(finding["fixable"] for finding in before.json["findings"])
        left = [finding["message"] for finding in outcome.json["findings"] if finding["fixable"]]
        report.check(f"{label}: nothing fixable is left", not left, "; ".join(left[:3]))
        if not fixed.exists():
            report.check(f"{label}: there was nothing to fix", wanted == 0, wanted)
            continue
        report.line(f"  {label}: {wanted} findings mended")
        onnx.checker.check_model(str(fixed))
        expected, outputs = Engine(source).run(sample), Engine(fixed).run(sample)
        different = [key for key in expected if not numpy.array_equal(outputs[key], expected[key], equal_nan=True)]
        report.check(f"{label}: the same outputs", not different, ", ".join(different))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*")
    options = parser.parse_args()
    report = Report("strip and lint --fix")
    for entry in zoo.entries(names=options.models):
        with tempfile.TemporaryDirectory() as folder:
            (fix if entry.kind == "q" else strip)(report, entry, pathlib.Path(folder))
    report.finish()


if __name__ == "__main__":
    main()
