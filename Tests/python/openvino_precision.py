"""What `onnxq lint --target openvino` says of each weighted node, held against OpenVINO's runtime model.

Every float model of the zoo is quantized by onnxq for `openvino` and for `onnxruntime`, and judged. OpenVINO's answer is the
precision of the layer that bears the node's name, or, where a neighbour gave that layer its name, the name of the first
operator behind the node. What `openvino` has in int8 must be at least what the model placed for onnxruntime has there.
usage: openvino_precision.py [MODEL...]       (needs `pip install openvino==2026.4.1`)
"""
import argparse
import logging
import pathlib
import tempfile

import onnx
import openvino

import zoo
from fused_macs import multiply_accumulates
from lint_prediction import name_nodes
from support import Report, onnxq, shared_data, write_samples

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
LAYERS = ("Convolution", "Deconvolution", "FullyConnected", "MatMul", "Subgraph")


class Reality:
    """OpenVINO's runtime model."""

    def __init__(self, path):
        self.model = onnx.load(str(path))
        compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        self.layers = {}
        for operation in compiled.get_runtime_model().get_ordered_ops():
            info = operation.get_rt_info()
            kind = info["layerType"].value
            if kind not in LAYERS:
                continue
            names = info["originalLayersNames"].value.split(",") if "originalLayersNames" in info else []
            for name in names:
                self.layers.setdefault(name, []).append((kind, info["runtimePrecision"].value))
        self.readers = {}
        for node in self.model.graph.node:
            for value in node.input:
                self.readers.setdefault(value, []).append(node)

    def of(self, node):
        """`int8` or `float`; None where no layer can be told."""
        current = node
        for _ in range(8):
            for name in (current.name, f"{current.name}/WithoutBiases"):
                for kind, precision in self.layers.get(name, ()):
                    if kind != "Subgraph" or node.op_type == "MatMul":
                        return "int8" if precision in ("u8", "i8") else "float"
            following = [reader for value in current.output for reader in self.readers.get(value, ())]
            if len(following) != 1 or following[0].op_type in WEIGHTED:
                return None
            current = following[0]
        return None


def judged(report, name, path, macs, counts):
    """The multiply-accumulates in int8, with every node checked; None where OpenVINO does not take the model."""
    try:
        reality = Reality(path)
    except Exception as error:  # OpenVINO raises several types
        report.line(f"  {name}: OpenVINO does not load it: {str(error).strip().splitlines()[-1][:100]}")
        return None
    outcome = onnxq("lint", path, "--target", "openvino", "--format", "json", "--quiet")
    if not report.check(f"{name}: lint", outcome.code in (0, 1), outcome):
        return None
    predicted = {node["name"]: node for node in outcome.json["nodes"]}
    wrong, total = [], 0
    for node in reality.model.graph.node:
        if node.op_type not in WEIGHTED:
            continue
        expected = reality.of(node)
        if expected is None:
            counts["unnamed"] += 1
            report.line(f"  {name}: no layer can be told for {node.op_type} {node.name}")
            continue
        counts["nodes"] += 1
        total += macs.get(node.name, 0) if expected == "int8" else 0
        if predicted[node.name]["runs_in"] != expected:
            wrong.append(f"{node.op_type} {node.name}: {predicted[node.name]['runs_in']}, really {expected}")
    counts["wrong"] += len(wrong)
    report.check(f"{name}: every weighted node", not wrong, "; ".join(wrong[:4]) + f" ({len(wrong)})")
    return total


def compare(report, entry, folder, counts):
    samples = entry.calibration(2 if entry.name in ("minilm", "yolox-nano") else 4)
    source = folder / "float.onnx"
    name_nodes(entry.path, source)
    macs = multiply_accumulates(source, samples[0], folder)
    data = write_samples(folder / "data", samples)
    statistics = folder / "model.calib"
    outcome = onnxq("calibrate", source, "--data", data, "-o", statistics)
    if not report.check(f"{entry.name}: calibrate", outcome.code == 0, outcome):
        return
    int8 = {}
    for target in ("openvino", "onnxruntime"):
        path = folder / f"{target}.onnx"
        outcome = onnxq(
            "insert-qdq", source, "--target", target, "--calibration", statistics, "-o", path, "--missing-data", "float",
            "--rescue", "none",
        )
        if report.check(f"{entry.name}: insert-qdq for {target}", outcome.code == 0, outcome):
            int8[target] = judged(report, f"{entry.name} for {target}", path, macs, counts)
    total = sum(macs.values())
    if total and None not in int8.values() and len(int8) == 2:
        report.check(
            f"{entry.name}: as many int8 MACs as the model placed for onnxruntime", int8["openvino"] >= int8["onnxruntime"],
            f"{int8['openvino'] / total:.2%} against {int8['onnxruntime'] / total:.2%}",
        )
        shares = ", ".join(f"{target} {count / total:.1%}" for target, count in int8.items())
        report.line(f"  {entry.name:24} MACs in int8, placed for {shares}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    report = Report("lint and OpenVINO")
    counts = {"nodes": 0, "wrong": 0, "unnamed": 0}
    if shared_data() is None:
        report.skip("shared models", "../shared/data is not there")
    for entry in zoo.entries(kinds=("main", "run"), names=options.models):
        with tempfile.TemporaryDirectory() as folder:
            compare(report, entry, pathlib.Path(folder), counts)
    report.line("  " + ", ".join(f"{count} {name}" for name, count in counts.items()))
    report.finish()


if __name__ == "__main__":
    main()
