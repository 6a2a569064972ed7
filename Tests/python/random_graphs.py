"""Random graphs of the supported operators, calibrated and quantized for every target.

Each result passes the checker of onnx, runs in onnxruntime near the float model, is left alone byte for byte by a second run,
and has neither an error nor a warning by lint for its target, but those that ALLOWED explains. The seed of a failure is
printed; --seed runs it again.
usage: random_graphs.py [--count N] [--seed S] [--targets T,...]
"""
import argparse
import collections
import pathlib
import tempfile

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import metrics
from support import Report, onnxq, write_samples
from survey import TARGETS

# What an engine cannot do with the graph, whoever quantized it: a float operator feeds a quantized one or reads its result
# (ORT001, ORT002, QNN001, INT001), or one that the engine has no kernel for, or that is too small, stands between (QDQ010, TRT101).
ALLOWED = {"ORT001", "ORT002", "QDQ010", "TRT101", "QNN001", "INT001"}
LOWEST_SQNR = 5.0
SIGNED = ("tensorrt", "tensorrt-dla", "onnxruntime-arm64", "integer")


class Graph:
    """A random graph over float tensors of four dimensions that ends in products."""

    def __init__(self, seed):
        self.random = numpy.random.default_rng(seed)
        self.opset = int(self.random.choice([11, 13, 15, 17, 18, 21]))
        self.nodes, self.constants = [], []
        self.shape = (int(self.random.integers(1, 3)), int(self.random.choice([4, 8, 12])), 8, 8)
        self.live = [("x", self.shape)]
        for _ in range(int(self.random.integers(4, 14))):
            self.step()
        self.finish()

    def choice(self, *options):
        return options[int(self.random.integers(len(options)))]

    def constant(self, values, kind=numpy.float32):
        name = f"k{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(numpy.asarray(values, kind), name))
        return name

    def weight(self, *shape):
        fan = max(int(numpy.prod(shape[1:])), 1)
        return self.constant(self.random.standard_normal(shape) / numpy.sqrt(fan))

    def node(self, kind, inputs, outputs=1, **attributes):
        names = [f"t{len(self.nodes)}_{index}" for index in range(outputs)]
        label = f"{kind.lower()}{len(self.nodes)}" if self.random.random() < 0.9 else ""
        self.nodes.append(helper.make_node(kind, inputs, names, name=label, **attributes))
        return names if outputs > 1 else names[0]

    def pick(self):
        """One of the latest tensors, rarely an older one."""
        reach = len(self.live) if self.random.random() < 0.2 else 3
        return self.live[-1 - int(self.random.integers(min(reach, len(self.live))))]

    def step(self):
        steps = [self.convolution] * 4 + [self.activation] * 3 + [self.binary] * 2 + [
            self.transposed, self.pool, self.concat, self.normalization, self.pad, self.moved, self.split, self.resize,
            self.scaled, self.product,
        ]
        value, shape = self.pick()
        found = self.choice(*steps)(value, shape)
        if found is not None:
            self.live.append(found)

    def convolution(self, value, shape):
        group = self.choice(1, 1, 1, shape[1])
        kernel = self.choice(1, 3) if min(shape[2:]) >= 3 else 1
        channels = shape[1] if group > 1 else self.choice(4, 8, 16, 20)
        inputs = [value, self.weight(channels, shape[1] // group, kernel, kernel)]
        if self.random.random() < 0.6:
            inputs.append(self.constant(self.random.standard_normal(channels) * 0.2))
        pad = kernel // 2
        return self.node("Conv", inputs, group=group, pads=[pad] * 4), (shape[0], channels, *shape[2:])

    def transposed(self, value, shape):
        if shape[2] > 8:
            return None
        weight = self.weight(shape[1], 8, 2, 2)
        return self.node("ConvTranspose", [value, weight], strides=[2, 2]), (shape[0], 8, shape[2] * 2, shape[3] * 2)

    def activation(self, value, shape):
        kind = self.choice("Relu", "Relu", "Clip", "Sigmoid", "Tanh", "LeakyRelu", "SiLU", "HardSigmoid", "Elu", "Softmax")
        if kind == "SiLU":
            return self.node("Mul", [value, self.node("Sigmoid", [value])]), shape
        if kind == "Clip":
            return self.node("Clip", [value, self.constant(0.0), self.constant(self.choice(1.0, 6.0))]), shape
        return self.node(kind, [value], **({"axis": 1} if kind == "Softmax" else {})), shape

    def binary(self, value, shape):
        others = [name for name, other in self.live if other == shape]
        other = self.choice(*others)
        return self.node(self.choice("Add", "Add", "Mul", "Sub", "Max"), [value, other]), shape

    def scaled(self, value, shape):
        factor = self.constant(self.random.uniform(0.5, 1.5, (1, shape[1], 1, 1)))
        return self.node(self.choice("Mul", "Add"), self.choice([value, factor], [factor, value])), shape

    def pool(self, value, shape):
        kind = self.choice("MaxPool", "AveragePool")
        if min(shape[2:]) < 4:
            return None
        return self.node(kind, [value], kernel_shape=[2, 2], strides=[2, 2]), (*shape[:2], shape[2] // 2, shape[3] // 2)

    def concat(self, value, shape):
        others = [(name, other) for name, other in self.live if other[2:] == shape[2:]]
        other, size = self.choice(*others)
        if shape[1] + size[1] > 48:
            return None
        return self.node("Concat", [value, other], axis=1), (shape[0], shape[1] + size[1], *shape[2:])

    def normalization(self, value, shape):
        channels = shape[1]
        inputs = [self.constant(self.random.uniform(0.5, 1.5, channels)), self.constant(self.random.standard_normal(channels) * 0.2)]
        inputs += [self.constant(self.random.standard_normal(channels) * 0.2), self.constant(self.random.uniform(0.5, 1.5, channels))]
        return self.node("BatchNormalization", [value, *inputs]), shape

    def pad(self, value, shape):
        pads = self.constant([0, 0, 1, 1, 0, 0, 1, 1], numpy.int64)
        if max(shape[2:]) > 12:
            return None
        return self.node("Pad", [value, pads]), (*shape[:2], shape[2] + 2, shape[3] + 2)

    def moved(self, value, shape):
        if shape[1] < 2 or self.random.random() < 0.5:
            return self.node("Transpose", [value], perm=[0, 1, 3, 2]), (*shape[:2], shape[3], shape[2])
        starts, ends = self.constant([0], numpy.int64), self.constant([shape[1] // 2], numpy.int64)
        axes = self.constant([1], numpy.int64)
        return self.node("Slice", [value, starts, ends, axes]), (shape[0], shape[1] // 2, *shape[2:])

    def split(self, value, shape):
        if shape[1] % 2:
            return None
        half = (shape[0], shape[1] // 2, *shape[2:])
        if self.opset >= 13:
            parts = self.node("Split", [value, self.constant([half[1]] * 2, numpy.int64)], 2, axis=1)
        else:
            parts = self.node("Split", [value], 2, axis=1, split=[half[1]] * 2)
        self.live.append((parts[0], half))
        return parts[1], half

    def resize(self, value, shape):
        if shape[2] > 8:
            return None
        scales = self.constant([1, 1, 2, 2])
        return (
            self.node(
                "Resize", [value, self.constant([]), scales], mode="nearest", coordinate_transformation_mode="asymmetric",
                nearest_mode="floor",
            ),
            (*shape[:2], shape[2] * 2, shape[3] * 2),
        )

    def product(self, value, shape):
        """A product of two activations, as of an attention."""
        turned = self.node("Transpose", [value], perm=[0, 1, 3, 2])
        scores = self.node("Softmax", [self.node("MatMul", [value, turned])], axis=3)
        return self.node("MatMul", [scores, value]), shape

    def finish(self):
        value, shape = self.live[-1]
        pooled = self.node("Flatten", [self.node("GlobalAveragePool", [value])], axis=1)
        if self.random.random() < 0.5:
            inputs = [pooled, self.weight(24, shape[1]), self.constant(self.random.standard_normal(24) * 0.1)]
            last = self.node("Gemm", inputs, transB=1)
        else:
            product = self.node("MatMul", [pooled, self.weight(shape[1], 24)])
            last = self.node("Add", [product, self.constant(self.random.standard_normal(24) * 0.1)])
        self.outputs = [(last, (shape[0], 24))]
        read = {name for node in self.nodes for name in node.input}
        self.outputs += [(name, size) for name, size in self.live[1:] if name not in read][:2]

    def model(self):
        graph = helper.make_graph(
            self.nodes, "random", [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in self.outputs], self.constants,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)

    def samples(self, count):
        return [{"x": self.random.standard_normal(self.shape).astype(numpy.float32)} for _ in range(count)]


def run(path, samples, is_signed=False):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    # Else onnxruntime makes int8 tensors uint8 on x64, and from opset 21 on refuses some of what it made.
    options.add_session_config_entry("session.qdqisint8allowed", "1" if is_signed else "0")
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    return [session.run(None, sample) for sample in samples]


def check(report, seed, folder, targets, warnings):
    graph = Graph(seed)
    source, statistics = folder / "float.onnx", folder / "model.calib"
    model = graph.model()
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, source)
    samples = graph.samples(8)
    expected = run(source, samples)
    outcome = onnxq("calibrate", source, "--data", write_samples(folder / "data", samples), "-o", statistics)
    if not report.check(f"seed {seed}: calibrate", outcome.code == 0, outcome):
        return
    for target in targets:
        name = f"seed {seed} for {target}"
        path, again = folder / "qdq.onnx", folder / "again.onnx"
        common = ("--target", target, "--calibration", statistics, "--format", "json")
        outcome = onnxq("insert-qdq", source, *common, "-o", path, "--force")
        if not report.check(f"{name}: insert-qdq", outcome.code == 0, outcome):
            continue
        try:
            onnx.checker.check_model(str(path), full_check=True)
            found = run(path, samples, is_signed=target in SIGNED)
        except Exception as error:  # both raise several types
            report.check(f"{name}: runs", False, error)
            continue
        report.check(f"{name}: runs", True)
        for index, (output, _) in enumerate(graph.outputs):
            pairs = [[outputs[index] for outputs in side] for side in (expected, found)]
            value = metrics.sqnr_db(*pairs)
            report.check(f"{name}: {output} is near the float model's", value >= LOWEST_SQNR, f"{value:.1f} dB")
        outcome = onnxq("insert-qdq", path, *common, "-o", again, "--force")
        same = outcome.code == 0 and outcome.json["unchanged"] and again.read_bytes() == path.read_bytes()
        report.check(f"{name}: a second run changes nothing", same, outcome)
        outcome = onnxq("lint", path, "--target", target, "--format", "json", "--quiet")
        if report.check(f"{name}: lint", outcome.code == 0, outcome):
            bad = [item for item in outcome.json["findings"] if item["severity"] != "info"]
            warnings.update(f"{target} {item['rule']}" for item in bad)
            unexplained = [f"{item['rule']} {item['message']}" for item in bad if item["rule"] not in ALLOWED]
            report.check(f"{name}: lint finds nothing", not unexplained, "; ".join(unexplained[:3]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=40, help="how many graphs")
    parser.add_argument("--seed", type=int, default=1, help="of the first graph; the others follow")
    parser.add_argument("--targets", default=TARGETS)
    options = parser.parse_args()
    onnxruntime.set_default_logger_severity(4)
    report = Report(f"random graphs, seeds {options.seed} to {options.seed + options.count - 1}")
    warnings = collections.Counter()
    for seed in range(options.seed, options.seed + options.count):
        with tempfile.TemporaryDirectory() as folder:
            check(report, seed, pathlib.Path(folder), options.targets.split(","), warnings)
    report.line("  warnings that remain: " + ", ".join(f"{count} {name}" for name, count in sorted(warnings.items())))
    report.finish()


if __name__ == "__main__":
    main()
