"""Multiply-accumulates that onnxruntime runs in int8: of `insert-qdq --target onnxruntime`, and of onnxruntime's own quantizer.

Every float model of the zoo is quantized by onnxq as it comes (and with `--rescue none`, where some of it stays float for
accuracy) and by `quantize_static` in several ways; what runs in int8, onnxruntime's optimized graph says. Ours must not be
less. The times are those of interleaved runs on one thread and are printed only.
usage: fused_macs.py [--runs N] [MODEL...]
"""
import argparse
import logging
import pathlib
import tempfile
import time

import numpy
import onnx
import onnxruntime
from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

import zoo
from lint_prediction import Reality, Samples, name_nodes
from support import Report, onnxq, shared_data, write_samples

PEERS = {
    "int8": {},
    "int8 per channel": {"per_channel": True},
    "uint8": {"activation_type": QuantType.QUInt8},
    "int8 symmetric": {"per_channel": True, "extra_options": {"ActivationSymmetric": True}},
}
WEIGHTED = ("Conv", "Gemm", "MatMul")


def multiply_accumulates(path, sample, folder):
    """Node name to multiply-accumulates of one sample, from shapes that onnxruntime computes."""
    model = onnx.load(str(path))
    nodes = [node for node in model.graph.node if node.op_type in WEIGHTED]
    constants = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    known = {value.name for value in model.graph.output}
    inputs = {value.name for value in model.graph.input}
    wanted = {name for node in nodes for name in (node.input[0], node.input[1], node.output[0])} - set(constants) - inputs
    for name in sorted(wanted - known):
        model.graph.output.append(onnx.ValueInfoProto(name=name))
    onnx.save(model, str(folder / "tapped.onnx"))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(folder / "tapped.onnx"), options, ["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    shapes = {name: numpy.shape(value) for name, value in zip(names, session.run(None, sample), strict=True)}
    shapes |= {name: numpy.shape(value) for name, value in sample.items()} | constants
    result = {}
    for node in nodes:
        size = int(numpy.prod(shapes[node.output[0]], dtype=numpy.int64))
        left, right = shapes[node.input[0]], shapes[node.input[1]]
        if node.op_type == "Conv":
            depth = int(numpy.prod(right[1:], dtype=numpy.int64))
        elif node.op_type == "Gemm":
            turned = next((attribute.i for attribute in node.attribute if attribute.name == "transA"), 0)
            depth = left[0] if turned else left[1]
        else:
            depth = left[-1]
        result[node.name] = size * int(depth)
    return result


def in_integers(path, macs):
    reality = Reality(onnx.load(str(path)), path)
    nodes = {node.name: node for node in onnx.load(str(path)).graph.node}
    return {name for name in macs if name in nodes and reality.of(nodes[name]) == "int8"}


def best_times(paths, samples, runs):
    """Seconds of the fastest run of each model, interleaved."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    sessions = {
        name: onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"]) for name, path in paths.items()
    }
    best = dict.fromkeys(sessions, float("inf"))
    for index in range(runs):
        for name, session in sessions.items():
            started = time.perf_counter()
            session.run(None, samples[index % len(samples)])
            best[name] = min(best[name], time.perf_counter() - started)
    return best


def compare(report, entry, folder, runs):
    samples = entry.calibration(2 if entry.name in ("minilm", "yolox-nano") else 4)
    source = folder / "float.onnx"
    name_nodes(entry.path, source)
    macs = multiply_accumulates(source, samples[0], folder)
    total = sum(macs.values())
    if total == 0:
        report.line(f"  {entry.name}: nothing to multiply in the main graph")
        return
    data = write_samples(folder / "data", samples)
    statistics = folder / "model.calib"
    outcome = onnxq("calibrate", source, "--data", data, "-o", statistics)
    if not report.check(f"{entry.name}: calibrate", outcome.code == 0, outcome):
        return
    paths, shares, nodes = {"float": source}, {}, {}
    for name, options in {"onnxq": (), "onnxq, no rescue": ("--rescue", "none")}.items():
        path = folder / f"{name.replace(', ', '-').replace(' ', '-')}.onnx"
        outcome = onnxq(
            "insert-qdq", source, "--target", "onnxruntime", "--calibration", statistics, "-o", path, *options
        )
        if not report.check(f"{entry.name}: insert-qdq ({name})", outcome.code == 0, outcome):
            return
        paths[name] = path
    for name, options in PEERS.items():
        path = folder / f"{name.replace(' ', '-')}.onnx"
        try:
            quantize_static(str(source), str(path), Samples(samples), quant_format=QuantFormat.QDQ, **options)
            onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # the quantizer fails on some models in its own ways
            report.line(f"  {entry.name}: quantize_static {name} fails: {type(error).__name__}")
            continue
        paths[name] = path
    for name, path in paths.items():
        if name != "float":
            nodes[name] = in_integers(path, macs)
            shares[name] = sum(macs[node] for node in nodes[name]) / total
    peers = {name: share for name, share in shares.items() if name in PEERS}
    best = max(peers, key=peers.get, default=None)
    if best is not None:
        lost = sorted(nodes[best] - nodes["onnxq, no rescue"], key=lambda node: -macs[node])
        report.check(
            f"{entry.name}: as many int8 MACs as quantize_static", shares["onnxq, no rescue"] >= shares[best],
            f"{shares['onnxq, no rescue']:.2%} against {shares[best]:.2%} ({best}); float here: "
            + ", ".join(f"{node} {macs[node] / total:.2%}" for node in lost[:6]),
        )
    text = ", ".join(f"{name} {share:.1%}" for name, share in shares.items())
    if runs:
        times = best_times(paths, samples, runs)
        text += "; ms " + ", ".join(f"{name} {seconds * 1e3:.3f}" for name, seconds in times.items())
    report.line(f"  {entry.name:20} {text}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=0, help="time this many interleaved runs of each model")
    parser.add_argument("models", nargs="*")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    onnxruntime.set_default_logger_severity(4)
    report = Report("int8 multiply-accumulates in onnxruntime")
    if shared_data() is None:
        report.skip("shared models", "../shared/data is not there")
    for entry in zoo.entries(kinds=("main", "run"), names=options.models):
        with tempfile.TemporaryDirectory() as folder:
            compare(report, entry, pathlib.Path(folder), options.runs)
    report.finish()


if __name__ == "__main__":
    main()
