"""What `onnxq lint --target openvino` says of each weighted node, held against OpenVINO's runtime model.

Every float model of the zoo is quantized by onnxq for `openvino` and for `onnxruntime`, and judged. OpenVINO's answer is the
precision of the layer that bears the node's name, or, where a neighbour gave that layer its name, the name of the first
operator behind the node. What `openvino` has in int8 must be at least what the model placed for onnxruntime has there, and
what NNCF's `quantize` makes of the float model, where NNCF is installed. The times are those of interleaved runs on one
thread and are printed only.
usage: openvino_precision.py [--runs N] [MODEL...]       (needs `pip install openvino==2026.4.1`; nncf==3.4.0 for the peer)
"""
import argparse
import logging
import pathlib
import statistics
import tempfile
import time

import onnx
import openvino

import zoo
from fused_macs import multiply_accumulates
from lint_prediction import name_nodes
from support import Report, onnxq, shared_data, write_samples

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
LAYERS = ("Convolution", "Deconvolution", "FullyConnected", "MatMul", "Subgraph")


try:
    import nncf
except ImportError:
    nncf = None


def compiled(model, sample=None):
    """The model for one thread; with a sample, for its shapes."""
    if isinstance(model, str):
        model = openvino.Core().read_model(model)
    if sample is not None:
        model.reshape({port.any_name: list(sample[port.any_name].shape) for port in model.inputs})
    hints = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY"}
    return openvino.Core().compile_model(model, "CPU", hints)


class Reality:
    """OpenVINO's runtime model of an ONNX model; `form` is what it was compiled from, the model's file by default."""

    def __init__(self, path, form=None):
        self.model = onnx.load(str(path))
        self.form = form or str(path)
        self.layers = {}
        for operation in compiled(self.form).get_runtime_model().get_ordered_ops():
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
            bare = (current.name, f"{current.name}/WithoutBiases")
            for name in bare + tuple(f"{name}/DequantizationMultiply" for name in bare):
                for kind, precision in self.layers.get(name, ()):
                    if kind != "Subgraph" or node.op_type == "MatMul":
                        return "int8" if precision in ("u8", "i8") else "float"
            following = [reader for value in current.output for reader in self.readers.get(value, ())]
            if len(following) != 1 or following[0].op_type in WEIGHTED:
                return None
            current = following[0]
        return None


def in_integers(reality, macs):
    """The multiply-accumulates in int8."""
    weighted = [node for node in reality.model.graph.node if node.op_type in WEIGHTED]
    return sum(macs.get(node.name, 0) for node in weighted if reality.of(node) == "int8")


def judged(report, name, path, counts):
    """The runtime model, with the prediction of every node checked; None where OpenVINO does not take the model."""
    try:
        reality = Reality(path)
    except Exception as error:  # OpenVINO raises several types
        report.line(f"  {name}: OpenVINO does not load it: {str(error).strip().splitlines()[-1][:100]}")
        return None
    outcome = onnxq("lint", path, "--target", "openvino", "--format", "json", "--quiet")
    if not report.check(f"{name}: lint", outcome.code in (0, 1), outcome):
        return None
    predicted = {node["name"]: node for node in outcome.json["nodes"]}
    wrong = []
    for node in reality.model.graph.node:
        if node.op_type not in WEIGHTED:
            continue
        expected = reality.of(node)
        if expected is None:
            counts["unnamed"] += 1
            report.line(f"  {name}: no layer can be told for {node.op_type} {node.name}")
            continue
        counts["nodes"] += 1
        if predicted[node.name]["runs_in"] != expected:
            wrong.append(f"{node.op_type} {node.name}: {predicted[node.name]['runs_in']}, really {expected}")
    counts["wrong"] += len(wrong)
    report.check(f"{name}: every weighted node", not wrong, "; ".join(wrong[:4]) + f" ({len(wrong)})")
    return reality


def of_peer(report, name, source, samples):
    """What NNCF makes of the float model, with its default preset; None where it fails."""
    try:
        model = openvino.Core().read_model(str(source))
        model.reshape({port.any_name: list(samples[0][port.any_name].shape) for port in model.inputs})
        return Reality(source, nncf.quantize(model, nncf.Dataset(samples), subset_size=len(samples)))
    except Exception as error:  # both raise several types
        report.line(f"  {name}: NNCF fails: {type(error).__name__}: {str(error).strip().splitlines()[0][:100]}")
        return None


def median_times(report, name, forms, samples, runs):
    """Seconds of the median run of each model, all of them for the shapes of the samples, in turns."""
    requests = {}
    for kind, form in forms.items():
        try:
            requests[kind] = compiled(form, samples[0]).create_infer_request()
        except RuntimeError as error:
            report.line(f"  {name}: OpenVINO fails on {kind} of fixed shape: {str(error).strip().splitlines()[-1][:100]}")
    times = {kind: [] for kind in requests}
    for index in range(runs + 5):
        for kind, request in requests.items():
            started = time.perf_counter()
            request.infer(samples[index % len(samples)])
            times[kind].append(time.perf_counter() - started)
    return {kind: statistics.median(values[5:]) for kind, values in times.items()}


def compare(report, entry, folder, counts, runs):
    samples = entry.calibration(2 if entry.name in ("minilm", "yolox-nano") else 4)
    source = folder / "float.onnx"
    name_nodes(entry.path, source)
    macs = multiply_accumulates(source, samples[0], folder)
    data = write_samples(folder / "data", samples)
    calibration = folder / "model.calib"
    outcome = onnxq("calibrate", source, "--data", data, "-o", calibration)
    if not report.check(f"{entry.name}: calibrate", outcome.code == 0, outcome):
        return
    realities = {}
    for target in ("openvino", "onnxruntime"):
        path = folder / f"{target}.onnx"
        outcome = onnxq(
            "insert-qdq", source, "--target", target, "--calibration", calibration, "-o", path, "--missing-data", "float",
            "--rescue", "none",
        )
        if report.check(f"{entry.name}: insert-qdq for {target}", outcome.code == 0, outcome):
            realities[target] = judged(report, f"{entry.name} for {target}", path, counts)
    if nncf is not None:
        realities["NNCF"] = of_peer(report, entry.name, source, samples)
    realities = {name: reality for name, reality in realities.items() if reality is not None}
    total = sum(macs.values())
    if not total or "openvino" not in realities:
        return
    int8 = {name: in_integers(reality, macs) for name, reality in realities.items()}
    for peer in int8.keys() - {"openvino"}:
        report.check(
            f"{entry.name}: as many int8 MACs as {peer}", int8["openvino"] >= int8[peer],
            f"{int8['openvino'] / total:.2%} against {int8[peer] / total:.2%}",
        )
    text = ", ".join(f"{name} {count / total:.1%}" for name, count in int8.items())
    if runs:
        forms = {"float": str(source)} | {name: reality.form for name, reality in realities.items()}
        times = median_times(report, entry.name, forms, samples, runs)
        text += "; ms: " + ", ".join(f"{name} {seconds * 1e3:.3f}" for name, seconds in times.items())
    report.line(f"  {entry.name:24} MACs in int8: {text}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=0, help="time this many interleaved runs of each model")
    parser.add_argument("models", nargs="*")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    report = Report("lint and OpenVINO")
    counts = {"nodes": 0, "wrong": 0, "unnamed": 0}
    if nncf is None:
        report.line("  NNCF is not installed: not compared with it")
    if shared_data() is None:
        report.skip("shared models", "../shared/data is not there")
    for entry in zoo.entries(kinds=("main", "run"), names=options.models):
        with tempfile.TemporaryDirectory() as folder:
            compare(report, entry, pathlib.Path(folder), counts, options.runs)
    report.line("  " + ", ".join(f"{count} {name}" for name, count in counts.items()))
    report.finish()


if __name__ == "__main__":
    main()
