"""Weights in integers held against onnxruntime: its checker and runtime load them, and no weight or output is worse than
what its own MatMulNBits quantizer gives at the same bits and block.

usage: weight_only.py [--large]      --large: also a model of 4 GiB, its time and its memory
"""
import json
import logging
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import time

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from support import ONNXQ, onnxq, run_model, shared_data

logging.disable(logging.INFO)
failures = []


def check(condition, what):
    print(("ok     " if condition else "FAILED ") + what, flush=True)
    if not condition:
        failures.append(what)


def session(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def decibels(exact, changed):
    exact, changed = exact.astype(numpy.float64), changed.astype(numpy.float64)
    noise = ((exact - changed) ** 2).sum()
    return float("inf") if noise == 0 else 10 * numpy.log10((exact**2).sum() / noise)


def sentences(count):
    data = numpy.load(shared_data() / "arrays" / "minilm_tokens_len64.npz")
    names = ("input_ids", "attention_mask", "token_type_ids")
    keys = {name: next(key for key in data.files if name in key) for name in names if any(name in k for k in data.files)}
    result = {name: data[key][-count:].astype(numpy.int64) for name, key in keys.items()}
    result.setdefault("token_type_ids", numpy.zeros_like(result["input_ids"]))
    return result


def run(path, feeds):
    loaded = session(path)
    wanted = {item.name for item in loaded.get_inputs()}
    return loaded.run(None, {name: value for name, value in feeds.items() if name in wanted})[0]


def dequantized(path):
    """The weights that DequantizeLinear gives back, by the name of the float weight."""
    model = onnx.load(str(path))
    constants = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    result = {}
    for node in model.graph.node:
        if node.op_type != "DequantizeLinear":
            continue
        attributes = {item.name: item.i for item in node.attribute}
        codes = constants[node.input[0]].astype(numpy.float32)
        scale = constants[node.input[1]]
        zero = constants[node.input[2]].astype(numpy.float32) if len(node.input) > 2 else numpy.zeros_like(scale)
        axis, block = attributes.get("axis", 1), attributes.get("block_size", 0)
        if block:
            extent = codes.shape[axis]
            scale = numpy.repeat(scale, block, axis).take(range(extent), axis)
            zero = numpy.repeat(zero, block, axis).take(range(extent), axis)
        elif scale.ndim == 1 and codes.ndim > 1:
            shape = [1] * codes.ndim
            shape[axis] = -1
            scale, zero = scale.reshape(shape), zero.reshape(shape)
        result[node.output[0].removesuffix("_DequantizeLinear_Output")] = (codes - zero) * scale
    return result


def peer(source, target, bits, block, symmetric):
    """onnxruntime's round to nearest, as QDQ; the dequantized weights by name."""
    from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer
    from onnxruntime.quantization.quant_utils import QuantFormat

    config = DefaultWeightOnlyQuantConfig(
        block_size=block, is_symmetric=symmetric, bits=bits, quant_format=QuantFormat.QDQ)
    model = onnx.load(str(source))
    for entry in model.opset_import:
        if entry.domain in ("", "ai.onnx"):
            entry.version = max(entry.version, 21)
    model.ir_version = max(model.ir_version, 10)
    quantizer = MatMulNBitsQuantizer(model, algo_config=config)
    quantizer.process()
    quantizer.model.save_model_to_file(str(target), False)


def peer_weights(path):
    result = {}
    for name, weight in dequantized(path).items():
        result[name.split("_DQ")[0].removesuffix("_dequant").removesuffix("_output")] = weight
    return result


def minilm(folder):
    source = shared_data() / "models" / "minilm-l6-v2"
    source = next(iter(sorted(source.glob("*.onnx"))))
    feeds = sentences(24)
    exact = run(source, feeds)
    floats = {item.name: numpy_helper.to_array(item) for item in onnx.load(str(source)).graph.initializer}
    cases = [("int4", 4, 32, True), ("int4", 4, 128, True), ("uint4", 4, 32, False), ("uint4", 4, 128, False)]
    for kind, bits, block, symmetric in cases:
        theirs = folder / f"peer-{kind}-{block}.onnx"
        peer(source, theirs, bits, block, symmetric)
        peer_output = decibels(exact, run(theirs, feeds))
        sample = [list(dequantized(theirs).values())]
        for target, method in (("tensorrt", "mse"), ("onnxruntime", "mse"), ("onnxruntime", "rtn")):
            ours = folder / f"{target}-{method}-{kind}-{block}.onnx"
            outcome = onnxq("insert-qdq", source, "--weights", kind, "--block", block, "--method", method, "--target",
                            target, "-o", ours, "--format", "json")
            if outcome.code != 0:
                check(False, str(outcome))
                continue
            onnx.checker.check_model(str(ours), full_check=True)
            output = decibels(exact, run(ours, feeds))
            own = dequantized(ours)
            noise = sum(float(((floats[name].astype(numpy.float64) - weight) ** 2).sum()) for name, weight in own.items())
            # The peer's weights in the order of the same nodes.
            noise_theirs = 0.0
            for (name, _), weight in zip(own.items(), sample[0]):
                value = weight if weight.shape == floats[name].shape else weight.T
                noise_theirs += float(((floats[name].astype(numpy.float64) - value) ** 2).sum())
            # The peer's symmetric scales may be negative, which only onnxruntime takes: a seventh finer on one side.
            margin = 1.001 if target == "onnxruntime" or not symmetric else 1.01
            check(len(own) == len(sample[0]), f"{target} {method} {kind} block {block}: {len(own)} weights, peer {len(sample[0])}")
            check(noise <= noise_theirs * margin,
                  f"{target} {method} {kind} block {block}: squared weight error {noise:.4f}, peer {noise_theirs:.4f}")
            # Outputs of one model are one draw each: a tenth of a dB is no difference.
            check(output >= peer_output - (0.1 if method == "rtn" else 0),
                  f"{target} {method} {kind} block {block}: output {output:.2f} dB, peer {peer_output:.2f} dB")
    for arguments in (["int8"], ["int8", "--block", "64"], ["uint8", "--block", "32"], ["int4"], ["uint4"],
                      ["int4", "--block", "32", "--embeddings"], ["int4", "--block", "48"]):
        ours = folder / "other.onnx"
        outcome = onnxq("insert-qdq", source, "--weights", *arguments, "-o", ours)
        if outcome.code != 0:
            check(False, str(outcome))
            continue
        onnx.checker.check_model(str(ours), full_check=True)
        opset = onnx.load(str(ours)).opset_import[0].version
        value = decibels(exact, run(ours, feeds))
        check(value > 5, f"{' '.join(arguments)}: opset {opset}, {ours.stat().st_size >> 20} MiB, output {value:.2f} dB")
    again = folder / "again.onnx"
    outcome = onnxq("insert-qdq", ours, "--weights", "int4", "--block", "48", "-o", again, "--format", "json")
    check(outcome.code == 0 and outcome.json["unchanged"] and again.read_bytes() == ours.read_bytes(), "a second run changes nothing")
    outcome = onnxq("insert-qdq", source, "--weights", "int4", "--dry-run", "--exclude", "tensor:nothing.*", "--format", "json")
    check(outcome.code == 3 or outcome.code == 2, f"a selector without a match is an error (exit {outcome.code})")
    outcome = onnxq("insert-qdq", source, "--weights", "int4", "--dry-run", "--include", ".*attention.*", "--format", "json")
    counts = outcome.json["nodes"]
    check(outcome.code == 0 and counts["quantized"] > 0 and counts["float"] > 0, f"selected by name: {counts}")


def dynamic(folder):
    """The same products in integers as `quantize_dynamic` makes, and outputs no further from the float model's."""
    import collections

    from onnxruntime.quantization import QuantType, quantize_dynamic

    source = next(iter(sorted((shared_data() / "models" / "minilm-l6-v2").glob("*.onnx"))))
    feeds = sentences(100)
    exact = run(source, feeds)

    def cosine(output):
        first, second = exact[: len(output)].reshape(-1, exact.shape[-1]), output.reshape(-1, exact.shape[-1])
        norms = numpy.linalg.norm(first, axis=1) * numpy.linalg.norm(second, axis=1)
        return float(((first * second).sum(1) / norms).mean())

    def operators(path):
        nodes = collections.Counter(node.op_type for node in onnx.load(str(path)).graph.node)
        return nodes["DynamicQuantizeLinear"], nodes["MatMulInteger"], nodes["MatMul"]

    ours = folder / "dynamic.onnx"
    outcome = onnxq("insert-qdq", source, "--dynamic", "--target", "onnxruntime", "-o", ours)
    check(outcome.code == 0, str(outcome))
    if outcome.code != 0:
        return
    onnx.checker.check_model(str(ours), full_check=True)
    own = cosine(run(ours, feeds))
    best = 0.0
    for per_channel in (False, True):
        theirs = folder / "dynamic-peer.onnx"
        quantize_dynamic(
            str(source), str(theirs), op_types_to_quantize=["MatMul"], per_channel=per_channel,
            weight_type=QuantType.QInt8, extra_options={"MatMulConstBOnly": True})
        best = max(best, cosine(run(theirs, feeds)))
        check(operators(ours) == operators(theirs),
              f"dynamic: quantizers, integer products, products {operators(ours)}, peer {operators(theirs)}")
    check(own >= best - 1e-4, f"dynamic: cosine {own:.5f}, the peer's better one {best:.5f}")
    few = {name: value[:2] for name, value in feeds.items()}
    result = run_model(ours, few, folder / "executed", "--executor", "float")[next(iter(onnx.load(str(ours)).graph.output)).name]
    # Codes flip where a sum before them differs in the last bit, so the two are compared by their distance from the float model.
    value, peer_value = cosine(result), cosine(run(ours, few))
    check(value >= peer_value - 0.003, f"dynamic: cosine {value:.5f} in the float executor, {peer_value:.5f} in onnxruntime")
    exact_products(folder, ours, few)


def exact_products(folder, path, feeds):
    """DynamicQuantizeLinear, MatMulInteger and the scaling of its sums, given onnxruntime's own inputs: equal to the bit."""
    model = onnx.shape_inference.infer_shapes(onnx.load(str(path)))
    quantizers = [node for node in model.graph.node if node.op_type == "DynamicQuantizeLinear"]
    known = {name for node in quantizers for name in node.output} | {item.name for item in model.graph.initializer}
    nodes = list(quantizers)
    for node in model.graph.node:
        if node.op_type in ("MatMulInteger", "Cast", "Mul") and all(name in known for name in node.input):
            nodes.append(node)
            known.update(node.output)
    types = {value.name: value for value in list(model.graph.value_info) + list(model.graph.output)}
    sources = list(dict.fromkeys(node.input[0] for node in quantizers))
    tapped = onnx.ModelProto()
    tapped.CopyFrom(model)
    have = {value.name for value in model.graph.output}
    tapped.graph.output.extend(types[name] for name in sources if name not in have)
    onnx.save(tapped, str(folder / "tapped.onnx"))
    loaded = session(folder / "tapped.onnx")
    wanted = {item.name for item in loaded.get_inputs()}
    values = loaded.run(sources, {name: value for name, value in feeds.items() if name in wanted})
    outputs = [helper.make_empty_tensor_value_info(name) for node in nodes for name in node.output]
    used = {name for node in nodes for name in node.input}
    part = helper.make_model(
        helper.make_graph(
            nodes, "products",
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape) for name, value in zip(sources, values, strict=True)],
            [types.get(output.name, output) for output in outputs],
            [item for item in model.graph.initializer if item.name in used]),
        opset_imports=model.opset_import, ir_version=model.ir_version)
    onnx.save(part, str(folder / "part.onnx"))
    inputs = dict(zip(sources, values, strict=True))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    peer = onnxruntime.InferenceSession(str(folder / "part.onnx"), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in outputs]
    theirs = dict(zip(names, peer.run(names, inputs), strict=True))
    own = run_model(folder / "part.onnx", inputs, folder / "parted", "--executor", "float")
    differing = [name for name in names if not numpy.array_equal(own[name], theirs[name])]
    check(not differing, f"dynamic: {len(quantizers)} quantizers and {len(nodes) - len(quantizers)} nodes behind them, "
          f"{len(differing)} outputs differ from onnxruntime's" + "".join(f", {name}" for name in differing[:3]))


# A process begins with the peak of the one that started it, so a small one stands between.
MEASURE = """
import json, os, subprocess, sys, time
started = time.monotonic()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(json.dumps([status, time.monotonic() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024]))
"""


def measured(arguments, folder):
    """Exit status, seconds, seconds of processors and peak bytes of one run of onnxq."""
    command = [sys.executable, "-c", MEASURE, str(ONNXQ), *arguments]
    return json.loads(subprocess.run(command, cwd=folder, check=True, capture_output=True).stdout)


def large(folder):
    largest = large_model(folder)
    copies = []
    for _ in range(3):
        started = time.monotonic()
        subprocess.run(["cp", "large.data", "copy.data"], cwd=folder, check=True)
        subprocess.run(["sync", "copy.data"], cwd=folder, check=True)
        copies.append(time.monotonic() - started)
        (folder / "copy.data").unlink()
    for arguments in (["int4", "--block", "32", "--method", "rtn"], ["int8", "--method", "rtn"], ["int4", "--block", "32"]):
        status, seconds, processors, peak = measured(["insert-qdq", "large.onnx", "--weights", *arguments, "-o", "out.onnx"], folder)
        what = " ".join(arguments)
        check(status == 0, f"4 GiB {what}: status {status}")
        check(peak < 300e6 + largest, f"4 GiB {what}: peak {peak / 1e6:.0f} MB, largest tensor {largest / 1e6:.0f} MB")
        text = f"4 GiB {what}: {seconds:.1f} s ({processors:.1f} s of processors), copying {min(copies):.1f} to {max(copies):.1f} s"
        if "rtn" in arguments:
            check(seconds < 2 * max(copies), text)
        else:
            print("       " + text, flush=True)
        onnx.checker.check_model(str(folder / "out.onnx"))
        shape = session(folder / "out.onnx").run(None, {"x0": numpy.ones((1, 4096), numpy.float32)})[0].shape
        check(shape == (1, 4096), f"4 GiB {what}: onnxruntime runs it")
        for path in folder.glob("out.onnx*"):
            path.unlink()


def main():
    if shared_data() is None:
        print("no shared data: nothing checked")
        sys.exit(1 if os.environ.get("CI") == "true" else 0)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="onnxq-weights-"))
    try:
        if "--only-large" not in sys.argv:
            minilm(folder)
            dynamic(folder)
        if "--large" in sys.argv or "--only-large" in sys.argv:
            large(folder)
    finally:
        shutil.rmtree(folder)
    print(f"{len(failures)} failed")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
