"""Random Q/DQ graphs in integers: operators, fused regions and types mixed, against fake quantization and onnxruntime.

Every quantized tensor of a run in integers is held against its own region computed in float from the quantized tensors that the run itself
had, so that one code that falls the other way does not hide what follows: the codes are within one of fake quantization (two where a function
of 16 bits is the last operator), and seldom differ. Then graphs of operators that onnxruntime has as QLinear*: `--rounding float32` equals it.
usage: integer_graphs.py [--graphs N] [--seed S]
"""
import argparse
import pathlib
import random
import tempfile

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from integer_rounding import Fused, has_vnni
from support import Report, onnxq, run_model

RANGES = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767), "uint16": (0, 65535)}
CODES = {
    "int8": TensorProto.INT8, "uint8": TensorProto.UINT8, "int16": TensorProto.INT16, "uint16": TensorProto.UINT16,
}
# Of the codes of one region; sums of float32 fall the other way where the exact sum is next to a half.
MAY_DIFFER = 0.02


class Graph:
    """Regions of float operators between quantized tensors; every tensor is [1, channels, height, width]."""

    def __init__(self, generator, kinds):
        self.generator = generator
        self.kinds = kinds
        self.numpy = numpy.random.default_rng(generator.getrandbits(32))
        self.constants, self.count = [], 0
        self.size = (generator.randint(3, 9), generator.randint(3, 9))
        # Name to channels and element type; regions are (name, nodes, is a function of 16 bits).
        self.tensors, self.regions = {}, []

    def fresh(self, stem):
        self.count += 1
        return f"{stem}_{self.count}"

    def constant(self, value):
        name = self.fresh("c")
        self.constants.append(numpy_helper.from_array(numpy.asarray(value), name))
        return name

    def node(self, nodes, operator, inputs, **attributes):
        output = self.fresh(operator.lower())
        nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def weight(self, nodes, shape, axis):
        values = self.numpy.integers(-127, 128, shape).astype(numpy.int8)
        fan_in = values.size / shape[axis]
        scales = (self.numpy.uniform(0.5, 2, shape[axis]) * 0.02 / max(fan_in, 1) ** 0.5).astype(numpy.float32)
        inputs = [self.constant(values), self.constant(scales), self.constant(numpy.zeros(shape[axis], numpy.int8))]
        return self.node(nodes, "DequantizeLinear", inputs, axis=axis)

    def floats(self, shape, low=-0.5, high=0.5):
        return self.constant(self.numpy.uniform(low, high, shape).astype(numpy.float32))

    def pick(self, channels=None):
        names = [name for name, (own, _) in self.tensors.items() if channels in (None, own)]
        return self.generator.choice(names) if names else None

    def add(self, name, channels, nodes, kind=None, like=None, is_function=False):
        """Ends a region: its last node's output is the real value of a new quantized tensor."""
        real = nodes[-1].output[0]
        self.tensors[name] = (channels, kind or self.generator.choice(self.kinds))
        self.regions.append((name, nodes, real, like, is_function))


def convolution(g, nodes, x, channels):
    kernel = g.generator.choice([1, 3])
    groups = channels if g.generator.random() < 0.25 else 1
    outputs = channels if groups > 1 else g.generator.choice([2, 4, 5, 8])
    w = g.weight(nodes, [outputs, channels // groups, kernel, kernel], 0)
    inputs = [x, w] + ([g.floats([outputs])] if g.generator.random() < 0.6 else [])
    return g.node(nodes, "Conv", inputs, group=groups, pads=[kernel // 2] * 4), outputs


def silu(g, nodes, x):
    return g.node(nodes, "Mul", [x, g.node(nodes, "Sigmoid", [x])])


def region(g):
    """Adds one region of one to a few operators; gives what it was."""
    source = g.pick()
    channels = g.tensors[source][0]
    x, nodes, name = f"{source}_real", [], g.fresh("t")
    other = g.pick(channels)
    y = f"{other}_real"
    height, width = g.size
    choice = g.generator.choice([
        "Conv", "Conv", "Conv+Relu", "Conv+SiLU", "Conv+Add", "Conv+Add+Relu", "Conv+Clip", "SiLU+Add", "ConvTranspose", "MatMul", "MatMul2",
        "Add", "Sub", "Mul", "Concat", "MaxPool", "AveragePool", "Sigmoid", "Tanh", "HardSwish", "LeakyRelu", "PRelu", "Gelu", "Softmax",
        "LayerNormalization", "Resize", "PadSlice", "Transpose", "Squeeze-excite", "ReduceMean", "Where", "RMSNormalization", "Upsample",
    ])
    is_function = choice in ("Conv+SiLU", "SiLU+Add", "Sigmoid", "Tanh", "HardSwish", "LeakyRelu", "Gelu", "Softmax")
    if choice.startswith("Conv") and choice != "ConvTranspose" or choice == "SiLU+Add":
        value, outputs = convolution(g, nodes, x, channels)
        if choice == "Conv+SiLU":
            silu(g, nodes, value)
        elif choice == "SiLU+Add":
            value = silu(g, nodes, value)
            residual = g.pick(outputs)
            if residual:
                g.node(nodes, "Add", [value, f"{residual}_real"])
        elif "Add" in choice and (residual := g.pick(outputs)):
            value = g.node(nodes, "Add", [value, f"{residual}_real"])
            if choice.endswith("Relu"):
                g.node(nodes, "Relu", [value])
        elif choice == "Conv+Relu":
            g.node(nodes, "Relu", [value])
        elif choice == "Conv+Clip":
            g.node(nodes, "Clip", [value, g.constant(numpy.float32(-0.4)), g.constant(numpy.float32(0.7))])
        channels = outputs
    elif choice == "ConvTranspose":
        outputs = g.generator.choice([2, 4])
        w = g.weight(nodes, [channels, outputs, 4, 4], 1)
        value = g.node(nodes, "ConvTranspose", [x, w, g.floats([outputs])], strides=[2, 2], pads=[1, 1, 1, 1])
        g.node(nodes, "MaxPool", [value], kernel_shape=[2, 2], strides=[2, 2])
        channels = outputs
    elif choice == "MatMul":
        g.node(nodes, "MatMul", [x, g.weight(nodes, [width, width], 1)])
    elif choice == "MatMul2":
        product = g.node(nodes, "MatMul", [x, g.node(nodes, "Transpose", [y], perm=[0, 1, 3, 2])])
        g.node(nodes, "Mul", [g.node(nodes, "ReduceMean", [product, g.constant(numpy.array([3]))], keepdims=1), x])
    elif choice in ("Add", "Sub", "Mul"):
        g.node(nodes, choice, [x, y])
    elif choice == "Concat":
        other = g.pick()
        g.node(nodes, choice, [x, f"{other}_real"], axis=1)
        channels += g.tensors[other][0]
        if channels > 12:
            return None
    elif choice in ("MaxPool", "AveragePool"):
        attributes = {"count_include_pad": g.generator.choice([0, 1])} if choice == "AveragePool" else {}
        g.node(nodes, choice, [x], kernel_shape=[3, 2], pads=[1, 0, 1, 1], **attributes)
    elif choice in ("Sigmoid", "Tanh", "HardSwish", "Softmax"):
        g.node(nodes, choice, [x])
    elif choice == "LeakyRelu":
        g.node(nodes, choice, [x], alpha=0.1)
    elif choice == "Gelu":
        g.node(nodes, choice, [x])
    elif choice == "PRelu":
        g.node(nodes, choice, [x, g.floats([channels, 1, 1])])
    elif choice == "LayerNormalization":
        g.node(nodes, choice, [x, g.floats([width], 0.5, 1.5), g.floats([width])], axis=-1)
    elif choice == "RMSNormalization":
        square = g.node(nodes, "LayerNormalization", [x, g.floats([width], 0.5, 1.5)], axis=-1)
        g.node(nodes, "Add", [square, x])
    elif choice in ("Resize", "Upsample"):
        scales = g.constant(numpy.array([1, 1, 2, 2], numpy.float32))
        mode = {"mode": "linear"} if choice == "Resize" else {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        value = g.node(nodes, "Resize", [x, "", scales], **mode)
        g.node(nodes, g.generator.choice(["MaxPool", "AveragePool"]), [value], kernel_shape=[2, 2], strides=[2, 2])
    elif choice == "PadSlice":
        value = g.node(nodes, "Pad", [x, g.constant(numpy.array([0, 0, 1, 0, 0, 0, 0, 1]))])
        starts, ends = g.constant(numpy.array([0, 1])), g.constant(numpy.array([height, width + 1]))
        g.node(nodes, "Slice", [value, starts, ends, g.constant(numpy.array([2, 3]))])
    elif choice == "Transpose":
        value = g.node(nodes, "Reshape", [x, g.constant(numpy.array([1, channels, width, height]))])
        g.node(nodes, "Transpose", [value], perm=[0, 1, 3, 2])
    elif choice == "Squeeze-excite":
        # A gate for each channel from the mean, which is quantized as engines want it: as a tensor of its own.
        g.node(nodes, "Mul", [x, g.node(nodes, "Sigmoid", [g.node(nodes, "GlobalAveragePool", [x])])])
    elif choice == "ReduceMean":
        g.node(nodes, "Add", [x, g.node(nodes, "ReduceMean", [x, g.constant(numpy.array([2, 3]))], keepdims=1)])
    elif choice == "Where":
        mask = g.constant(g.numpy.random([1, 1, height, width]) < 0.5)
        g.node(nodes, "Where", [mask, x, y])
    g.add(name, channels, nodes, is_function=is_function)
    return choice


QLINEAR = ["Conv", "Conv", "Add", "Mul", "Concat", "Sigmoid", "LeakyRelu", "AveragePool", "MaxPool", "Transpose2"]


def qlinear_region(g):
    """One operator that onnxruntime runs on codes."""
    source = g.pick()
    channels, kind = g.tensors[source]
    x, nodes, name = f"{source}_real", [], g.fresh("t")
    like = None
    choice = g.generator.choice(QLINEAR)
    if choice == "Conv":
        _, channels = convolution(g, nodes, x, channels)
        if len(nodes[-1].input) > 2:
            nodes[-1].input.pop()  # a float bias would be rounded here to the scale of the sums
    elif choice in ("Add", "Mul"):
        g.node(nodes, choice, [x, f"{g.pick(channels)}_real"])
    elif choice == "Concat":
        other = g.pick()
        channels += g.tensors[other][0]
        if channels > 12:
            return None
        g.node(nodes, choice, [x, f"{other}_real"], axis=1)
    elif choice == "AveragePool":
        g.node(nodes, choice, [x], kernel_shape=[3, 3], pads=[1] * 4)
    elif choice == "MaxPool":
        g.node(nodes, choice, [x], kernel_shape=[3, 3], pads=[1] * 4)
        like = source
    elif choice == "Transpose2":
        g.node(nodes, "Transpose", [g.node(nodes, "Transpose", [x], perm=[0, 2, 3, 1])], perm=[0, 3, 1, 2])
        like = source
    elif choice == "LeakyRelu":
        g.node(nodes, choice, [x], alpha=0.1)
    else:
        g.node(nodes, choice, [x])
    g.add(name, channels, nodes, kind=kind, like=like)
    return choice


def models(g, shape):
    """The Q/DQ model, the model that computes each region from quantized tensors, and the parameters of each tensor."""
    opsets = [helper.make_opsetid("", 21)]

    def build(nodes, inputs, outputs, constants):
        graph = helper.make_graph(nodes, "graph", inputs, outputs, constants)
        return helper.make_model(graph, opset_imports=opsets, ir_version=10)

    floats = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    region_nodes = [node for _, nodes, _, _, _ in g.regions for node in nodes]
    reals = {"in": "x"} | {name: real for name, _, real, _, _ in g.regions}
    same = [helper.make_node("Identity", [real], [f"{name}_real"]) for name, real in reals.items()]
    # Producers first: each region's end is followed by the name under which the others read it.
    ordered = [same[0]]
    for index, (_, nodes, _, _, _) in enumerate(g.regions):
        ordered += [*nodes, same[index + 1]]
    outputs = [helper.make_tensor_value_info(real, TensorProto.FLOAT, None) for name, real in reals.items() if name != "in"]
    session = onnxruntime.InferenceSession(build(ordered, floats, outputs, g.constants).SerializeToString(), quiet())
    sample = g.numpy.normal(0, 1, shape).astype(numpy.float32)
    ranges = dict(zip([o.name for o in outputs], session.run(None, {"x": sample})))
    parameters, constants, nodes = {}, list(g.constants), []
    for name, real in reals.items():
        like = next((like for own, _, _, like, _ in g.regions if own == name), None)
        if like:
            parameters[name] = parameters[like]
        else:
            kind = g.tensors[name][1]
            low, high = RANGES[kind]
            values = sample if name == "in" else ranges[real]
            lower, upper = min(float(values.min()), 0), max(float(values.max()), 0)
            scale = numpy.float32(max(upper - lower, 1e-3) / (high - low) * g.generator.uniform(0.9, 1.1))
            parameters[name] = (scale, int(numpy.clip(round(low - lower / scale), low, high)), kind)
        scale, zero, kind = parameters[name]
        constants += [
            numpy_helper.from_array(numpy.asarray(scale), f"{name}_scale"), numpy_helper.from_array(numpy.array(zero, kind), f"{name}_zero"),
        ]
    final = []
    for index, (name, real) in enumerate(reals.items()):
        if index:
            final += g.regions[index - 1][1]
        final.append(helper.make_node("QuantizeLinear", [real, f"{name}_scale", f"{name}_zero"], [f"{name}_codes"]))
        final.append(helper.make_node("DequantizeLinear", [f"{name}_codes", f"{name}_scale", f"{name}_zero"], [f"{name}_real"]))
    read = {value for node in region_nodes for value in node.input}
    ends = [name for name in reals if f"{name}_real" not in read]
    codes = [helper.make_tensor_value_info(f"{name}_codes", CODES[parameters[name][2]], None) for name in reals]
    quantized = build(final, floats, [code for code in codes if code.name[:-6] in ends], constants)
    everything = build(final, floats, codes, constants)
    given = [helper.make_tensor_value_info(f"{name}_real", TensorProto.FLOAT, None) for name in reals]
    check = build(region_nodes, given, outputs, g.constants)
    return quantized, everything, check, parameters, {real: name for name, real in reals.items()}


def quiet():
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    return options


def make(seed, step, kinds, regions):
    generator = random.Random(seed)
    g = Graph(generator, kinds)
    g.tensors["in"] = (generator.choice([2, 3, 4, 8]), generator.choice(kinds))
    shape = [1, g.tensors["in"][0], *g.size]
    made = []
    while len(made) < regions:
        if choice := step(g):
            made.append(choice)
    return g, shape, made


def against_fake_quantization(report, label, seed, tally, kinds):
    g, shape, made = make(seed, region, kinds, 8)
    _, everything, check, parameters, names = models(g, shape)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        onnx.save(everything, folder / "model.onnx")
        outcome = onnxq("build", folder / "model.onnx", "-o", folder / "model.engine", "--format", "json")
        if not report.check(f"{label}: build", outcome.code == 0, outcome):
            return
        islands = [(row["op_type"], row["reason"]) for row in outcome.json["float_islands"]]
        report.check(f"{label}: in integers", not islands, f"{islands} of {made}")
        sample = {"x": g.numpy.normal(0, 1, shape).astype(numpy.float32)}
        got = run_model(folder / "model.engine", sample, folder / "run")
    session = onnxruntime.InferenceSession(check.SerializeToString(), quiet())
    feeds = {}
    for name, (scale, zero, _) in parameters.items():
        feeds[f"{name}_real"] = (got[f"{name}_codes"].astype(numpy.float32) - numpy.float32(zero)) * scale
    reals = session.run(None, {i.name: feeds[i.name] for i in session.get_inputs()})
    for output, real, choice, (_, _, _, _, is_function) in zip(session.get_outputs(), reals, made, g.regions):
        name = names[output.name]
        scale, zero, kind = parameters[name]
        low, high = RANGES[kind]
        codes = numpy.clip(numpy.rint(real / scale) + zero, low, high)
        distance = numpy.abs(codes - got[f"{name}_codes"])
        most = 2 if is_function and kind.endswith("16") else 1
        differing = numpy.count_nonzero(distance)
        tally["elements"] += distance.size
        tally["differing"] += differing
        report.check(f"{label}: {choice} {kind}", distance.max() <= most, f"{int(distance.max())} codes apart")
        allowed = MAY_DIFFER if not kind.endswith("16") else 0.2
        report.check(f"{label}: {choice} {kind}, seldom", differing <= allowed * distance.size + 3, f"{differing} of {distance.size} differ")


def against_onnxruntime(report, label, seed, tally, kind):
    g, shape, made = make(seed, qlinear_region, [kind], 8)
    quantized, _, _, _, _ = models(g, shape)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        onnx.save(quantized, folder / "model.onnx")
        outcome = onnxq("build", folder / "model.onnx", "-o", folder / "model.engine", "--rounding", "float32", "--format", "json")
        if not report.check(f"{label}: build", outcome.code == 0, outcome):
            return
        peer = Fused(folder / "model.onnx", folder / "fused.onnx")
        sample = {"x": g.numpy.normal(0, 1, shape).astype(numpy.float32)}
        expected, got = peer.run(sample), run_model(folder / "model.engine", sample, folder / "run")
        for name, wanted in expected.items():
            differing = numpy.count_nonzero(wanted != got[name])
            tally["elements"] += wanted.size
            tally["differing"] += differing
            report.check(f"{label}: {name} equal", differing == 0, f"{differing} of {wanted.size} codes differ; {made}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graphs", type=int, default=40, help="of each kind")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    report = Report("random graphs in integers")
    for label, kinds in (("8 bits", ["int8", "uint8"]), ("8 and 16 bits", list(RANGES))):
        tally = {"elements": 0, "differing": 0}
        for number in range(options.graphs):
            seed = f"{options.seed} {label} {number}"
            against_fake_quantization(report, f"{label} {number}", seed, tally, kinds)
        report.line(f"  {label}: {tally['differing']} of {tally['elements']} codes differ from fake quantization by one")
    for kind in ("int8", "uint8") if has_vnni() else ("int8",):
        tally = {"elements": 0, "differing": 0}
        for number in range(options.graphs):
            against_onnxruntime(report, f"{kind} {number}", f"{options.seed} {kind} {number}", tally, kind)
        report.line(f"  {kind}, --rounding float32: {tally['differing']} of {tally['elements']} codes differ from onnxruntime")
    report.finish()


if __name__ == "__main__":
    main()
