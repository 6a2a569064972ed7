"""The integer engine beside onnxruntime on the same Q/DQ models: latency, batch 1, in turns within one run.

Layers are chains of equal layers in Q/DQ form (bytes in, bytes out), unsigned activations and signed weights per channel;
--signed takes signed activations. Networks are quantized by `insert-qdq --target onnxruntime`, with onnxruntime's signedness
as that target gives it, and --signed re-places them for the target `integer`. onnxruntime runs with its default
optimization, onnxq as `onnxq bench --executor integer`; each ratio is the median over turns of onnxruntime / onnxq.

--float adds our float executor on the float network, --openvino OpenVINO (pip install openvino==2026.4.1).
On AVX2 without VNNI onnxruntime's unsigned-by-signed kernels saturate 16-bit sums: --saturation shows whether this machine's do.
usage: bench_int.py [--signed] [--float] [--openvino] [--threads N] [--turns T] [--seconds S] [--must] [NAME...]
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy
import onnx
import onnxruntime
from onnx import TensorProto

import networks
import zoo
from support import CACHE, ONNXQ, Report, onnxq, shared_data, write_samples

# Name: input extent, then [input channels, outputs, kernel, stride, groups] of each layer of the chain.
CONVOLUTIONS = {
    "3x3 64 56²": (56, [[64, 64, 3, 1, 1]] * 6),
    "1x1 256<->64 56²": (56, [[256, 64, 1, 1, 1], [64, 256, 1, 1, 1]] * 4),
    "3x3 256 14²": (14, [[256, 256, 3, 1, 1]] * 6),
    "3x3 128 28²": (28, [[128, 128, 3, 1, 1]] * 6),
    "3x3 512 7²": (7, [[512, 512, 3, 1, 1]] * 6),
    "stem 7x7/2 3->64": (224, [[3, 64, 7, 2, 1]]),
    "depthwise 32 112²": (112, [[32, 32, 3, 1, 32]] * 8),
    "depthwise 144 56²": (56, [[144, 144, 3, 1, 144]] * 8),
}
# Name: rows and the widths between which the chain's products go.
PRODUCTS = {
    "128x768x768": (128, [768] * 7),
    "512x512x512": (512, [512] * 5),
    "1x2048x1000": (1, [2048, 1000] * 4),
}
NETWORKS = ["mobilenetv1-nchw", "resnet20", "yolox-nano", "minilm", "resnet50", "mobilenetv2"]
WIDE_MARGIN = ("stem", "depthwise")


def chain(name, signed):
    """A Q/DQ model of one chain: codes in, codes out, activations that keep their spread."""
    b = networks.Builder(name, opset=13)
    code = numpy.int8 if signed else numpy.uint8
    kind = TensorProto.INT8 if signed else TensorProto.UINT8
    scale, zero = b.constant(numpy.float32(0.02)), b.constant(code(0 if signed else 128))

    def weights(shape, outputs, depth):
        values = b.generator.integers(-127, 128, shape).astype(numpy.int8)
        scales = (b.generator.uniform(0.8, 1.2, outputs) / (73 * numpy.sqrt(depth))).astype(numpy.float32)
        axis = 0 if len(shape) == 4 else 1
        tensors = [b.constant(values), b.constant(scales), b.constant(numpy.zeros(outputs, numpy.int8))]
        return b.node("DequantizeLinear", tensors, axis=axis), scales

    def bias(outputs, scales):
        values = b.generator.integers(-500, 500, outputs).astype(numpy.int32)
        return b.node(
            "DequantizeLinear",
            [b.constant(values), b.constant((scales * numpy.float32(0.02)).astype(numpy.float32)),
             b.constant(numpy.zeros(outputs, numpy.int32))],
            axis=0,
        )

    if name in CONVOLUTIONS:
        extent, layers = CONVOLUTIONS[name]
        x = b.input("x", [1, layers[0][0], extent, extent], kind)
        for channels, outputs, kernel, stride, groups in layers:
            depth = channels // groups * kernel * kernel
            w, scales = weights((outputs, channels // groups, kernel, kernel), outputs, depth)
            y = b.node(
                "Conv", [b.node("DequantizeLinear", [x, scale, zero]), w, bias(outputs, scales)],
                kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[kernel // 2] * 4, group=groups,
            )
            x = b.node("QuantizeLinear", [y, scale, zero])
            extent = (extent + 2 * (kernel // 2) - kernel) // stride + 1
        return b.model(x, [1, layers[-1][1], extent, extent], kind)
    rows, widths = PRODUCTS[name]
    x = b.input("x", [rows, widths[0]], kind)
    for depth, outputs in zip(widths, widths[1:]):
        w, _ = weights((depth, outputs), outputs, depth)
        y = b.node("MatMul", [b.node("DequantizeLinear", [x, scale, zero]), w])
        x = b.node("QuantizeLinear", [y, scale, zero])
    return b.model(x, [rows, widths[-1]], kind)


def network(name, signed, entries):
    """Paths of the float and of the quantized network, and one sample; the quantized one is kept in the cache."""
    if name in networks.NETWORKS:
        path = networks.written(name, CACHE / "networks")
        shape = [d.dim_value for d in onnx.load(str(path)).graph.input[0].type.tensor_type.shape.dim]
        samples = zoo.seeded(name, **{onnx.load(str(path)).graph.input[0].name: shape})(2)
    else:
        path, samples = entries[name].path, entries[name].calibration(8)
    target = "integer" if signed else "onnxruntime"
    folder = CACHE / "bench-int"
    quantized = folder / f"{name}.{target}.onnx"
    if not quantized.is_file() or quantized.stat().st_mtime < ONNXQ.stat().st_mtime:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as data:
            write_samples(data, samples)
            outcome = onnxq("insert-qdq", path, "--target", target, "--data", data, "-o", quantized)
            if outcome.code != 0:
                raise RuntimeError(str(outcome))
    return path, quantized, samples[0]


def session(path, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])


def loop(run, seconds):
    """Median seconds of one call."""
    times = []
    run()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 3:
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def bound(engine, sample):
    """A call without copies: inputs and outputs are bound once."""
    binding = engine.io_binding()
    for key, value in sample.items():
        binding.bind_cpu_input(key, value)
    for output in engine.get_outputs():
        binding.bind_output(output.name)
    return lambda: engine.run_with_iobinding(binding)


def own(path, data, executor, options):
    command = [
        ONNXQ, "bench", path, "--data", data, "--executor", executor, "--threads", options.threads, "--seconds",
        options.seconds, "--warmup", 0.05, "--format", "json", "--quiet",
    ]
    process = subprocess.run([str(part) for part in command], capture_output=True, stdin=subprocess.DEVNULL)
    if process.returncode != 0:
        raise RuntimeError(process.stderr.decode(errors="replace")[-400:])
    return json.loads(process.stdout)["latency_ms"]["median"] / 1e3


def measure(path, sample, options, float_path=None):
    """Lists of seconds by column, one of each for every turn."""
    calls = {"onnxruntime": bound(session(path, options.threads), sample)}
    if options.openvino:
        import openvino

        core = openvino.Core()
        core.set_property("CPU", {"INFERENCE_NUM_THREADS": options.threads, "NUM_STREAMS": 1})
        request = core.compile_model(str(path), "CPU").create_infer_request()
        feeds = {key: openvino.Tensor(value, shared_memory=True) for key, value in sample.items()}
        calls["openvino"] = lambda: request.infer(feeds, share_inputs=True, share_outputs=True)
    columns = {"onnxq": []} | {key: [] for key in calls} | ({"float": []} if float_path else {})
    with tempfile.TemporaryDirectory() as data:
        write_samples(data, [sample])
        for _ in range(options.turns):
            columns["onnxq"].append(own(path, data, "integer", options))
            for key, call in calls.items():
                columns[key].append(loop(call, options.seconds))
            if float_path:
                columns["float"].append(own(float_path, data, "float", options))
    return columns


def ratio(columns, key):
    return statistics.median(theirs / ours for ours, theirs in zip(columns["onnxq"], columns[key]))


def row(name, columns):
    keys = list(columns)
    cells = [f"{statistics.median(columns[key]) * 1e3:.3f}" for key in keys]
    cells += [f"{ratio(columns, key):.2f}" for key in keys[1:]]
    print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    return ratio(columns, "onnxruntime")


def saturation():
    """One product whose 16-bit pair sums pass 32767: 255·127 + 255·127."""
    b = networks.Builder("saturation", opset=13)
    y = b.node("MatMulInteger", [b.input("x", [1, 4], TensorProto.UINT8), b.constant(numpy.full((4, 1), 127, numpy.int8))])
    model = b.model(y, [1, 1], TensorProto.INT32)
    engine = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    got = int(engine.run(None, {"x": numpy.full((1, 4), 255, numpy.uint8)})[0][0, 0])
    exact = 4 * 255 * 127
    verdict = "exact" if got == exact else "saturated: its U8S8 results are wrong here"
    print(f"255·127 summed four times is {exact}; onnxruntime gives {got} ({verdict})")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="words that a layer's or network's name must contain")
    parser.add_argument("--signed", action="store_true")
    parser.add_argument("--float", action="store_true", dest="floats")
    parser.add_argument("--openvino", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.8)
    parser.add_argument("--must", action="store_true", help="exit 1 below the floors for machines with AVX-512 VNNI")
    options = parser.parse_args()
    report = Report("bench-int")
    onnxruntime.set_default_logger_severity(3)
    entries = {entry.name: entry for entry in zoo.entries()}
    print(f"onnxruntime {onnxruntime.__version__}, {options.threads} thread(s), milliseconds; ratios to onnxq")
    saturation()
    extra = [key for key, given in (("openvino", options.openvino), ("float", options.floats)) if given]

    def wanted(name):
        return not options.names or any(word in name for word in options.names)

    def table(title, names, prepare, extra):
        keys = ["onnxq", "onnxruntime", *extra]
        print(f"\n| {title} | " + " | ".join(keys + [f"{key} / onnxq" for key in keys[1:]]) + " |")
        print("|---" * (2 * len(keys)) + "|")
        ratios = {}
        for name in filter(wanted, names):
            if name not in CONVOLUTIONS and name not in PRODUCTS and name not in networks.NETWORKS and name not in entries:
                report.skip(name, "../shared/data is not there" if shared_data() is None else "no such model")
                continue
            try:
                ratios[name] = row(name, prepare(name))
            except RuntimeError as error:
                report.check(name, False, error)
        if ratios:
            print(f"| median | {statistics.median(ratios.values()):.2f}")
        return ratios

    def layer(name):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "layer.onnx"
            model = chain(name, options.signed)
            onnx.save(model, str(path))
            port = model.graph.input[0].type.tensor_type
            shape = [d.dim_value for d in port.shape.dim]
            code = numpy.int8 if options.signed else numpy.uint8
            low, high = (-128, 128) if options.signed else (0, 256)
            x = numpy.random.default_rng(0).integers(low, high, shape).astype(code)
            return measure(path, {"x": x}, options)

    def whole(name):
        path, quantized, sample = network(name, options.signed, entries)
        return measure(quantized, sample, options, path if options.floats else None)

    openvino = [key for key in extra if key == "openvino"]
    layers = table("layer", [*CONVOLUTIONS, *PRODUCTS], layer, openvino)
    nets = table("network", NETWORKS, whole, extra)
    if options.must:
        floor = 10 if options.signed else 1.05
        if layers:
            median = statistics.median(layers.values())
            report.check("median of the layers", median >= floor, f"{median:.2f} is below {floor}")
        for name, value in layers.items() if not options.signed else ():
            least = 1.5 if name.startswith(WIDE_MARGIN) else 0.95
            report.check(name, value >= least, f"{value:.2f} is below {least}")
        for name, value in nets.items():
            report.check(name, value >= 1.1, f"{value:.2f} is below 1.1")
    report.finish()


if __name__ == "__main__":
    sys.exit(main())
