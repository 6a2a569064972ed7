"""`onnxq build --rounding float32` computes as onnxruntime does: quantized operators, bit for bit.

Random cases of each operator between DequantizeLinear and QuantizeLinear, all of which onnxruntime runs as one integer kernel (QLinear*);
the codes that come out are equal, and so are those of the model of QLinear operators that onnxruntime makes of it. Then whole networks, ours
for onnxruntime in both forms and those that came quantized. onnxruntime's sums are exact
wherever they do not saturate inside: operands of one signedness, and unsigned activations with signed weights where the processor has VNNI.
usage: integer_rounding.py [--cases N] [--seed S] [OPERATOR...]
"""
import argparse
import pathlib
import random
import tempfile

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import zoo
from support import Report, onnxq, run_model, write_samples

# At the end of a network a Softmax or a Sigmoid may differ in the last bits, and a float bias behind the last matrix product is rounded
# here to the scale of its sums.
TAIL = 2e-5
# Integers from the first quantized tensor to the last.
EXACT = {"digits", "resnet20", "resnet20_bn", "ort-conv-qdq-external", "ort-qdq-multi-consumer"}
# Float operators in the middle sum in another order, and a code that falls the other way there changes what follows.
FLOAT_WITHIN = {
    "digits-qat": "Add, Relu and GlobalAveragePool",
    "minilm": "LayerNormalization, Softmax and GELU",
    "ort-qdq16": "convolutions of 16 bits",
}

CODES = {"uint8": (numpy.uint8, TensorProto.UINT8, 0, 255), "int8": (numpy.int8, TensorProto.INT8, -128, 127)}


def has_vnni():
    flags = pathlib.Path("/proc/cpuinfo").read_text()
    return "avx512_vnni" in flags or "avx_vnni" in flags


class Case:
    """A graph of one operator over quantized inputs, with a quantized output."""

    def __init__(self, generator, activation):
        self.generator = generator
        self.activation = activation
        self.nodes, self.initializers, self.inputs, self.sample = [], [], [], {}

    def scale(self):
        return numpy.float32(self.generator.uniform(0.002, 0.3))

    def zero(self, kind):
        low, high = CODES[kind][2:]
        return numpy.array(self.generator.choice([0 if kind == "int8" else 128, low, high, self.generator.randint(low, high)]), CODES[kind][0])

    def constant(self, name, value):
        self.initializers.append(numpy_helper.from_array(numpy.asarray(value), name))
        return name

    def input(self, name, shape):
        """A quantized input behind DequantizeLinear."""
        type_, code, low, high = CODES[self.activation]
        values = numpy.random.default_rng(self.generator.getrandbits(32)).integers(low, high + 1, shape).astype(type_)
        self.inputs.append(helper.make_tensor_value_info(name, code, shape))
        self.sample[name] = values
        scale = self.constant(f"{name}_scale", self.scale())
        zero = self.constant(f"{name}_zero", self.zero(self.activation))
        self.nodes.append(helper.make_node("DequantizeLinear", [name, scale, zero], [f"{name}_real"]))
        return f"{name}_real", self.initializers[-2]

    def weight(self, name, shape, kind, axis=None):
        """A constant behind DequantizeLinear; along an axis if one is given."""
        type_, _, low, high = CODES[kind]
        random_ = numpy.random.default_rng(self.generator.getrandbits(32))
        values = random_.integers(-127 if kind == "int8" else low, high + 1, shape).astype(type_)
        count = () if axis is None else (shape[axis],)
        scales = random_.uniform(0.001, 0.02, count).astype(numpy.float32)
        zero = numpy.zeros(count, type_) if axis is not None or kind == "int8" else self.zero(kind)
        names = [self.constant(name, values), self.constant(f"{name}_scale", scales), self.constant(f"{name}_zero", zero)]
        self.nodes.append(helper.make_node("DequantizeLinear", names, [f"{name}_real"], **({} if axis is None else {"axis": axis})))
        return f"{name}_real", scales

    def bias(self, name, count, x_scale, w_scales):
        scales = (numpy_helper.to_array(x_scale) * numpy.broadcast_to(w_scales, (count,))).astype(numpy.float32)
        if w_scales.shape == ():
            scales = scales[0]
        values = numpy.random.default_rng(self.generator.getrandbits(32)).integers(-9000, 9000, count).astype(numpy.int32)
        names = [self.constant(name, values), self.constant(f"{name}_scale", scales)]
        names.append(self.constant(f"{name}_zero", numpy.zeros(scales.shape, numpy.int32)))
        self.nodes.append(helper.make_node("DequantizeLinear", names, [f"{name}_real"], **({"axis": 0} if scales.shape else {})))
        return f"{name}_real"

    def node(self, operator, inputs, **attributes):
        self.nodes.append(helper.make_node(operator, inputs, ["y_real"], name="subject", **attributes))

    def model(self, real, scale=None, same_as=None):
        """With the output quantized over about the range it has; `same_as` takes the scale and zero point of an input instead."""
        kind = self.activation
        if same_as is None:
            zero = self.zero(kind)
            names = [self.constant("y_scale", scale), self.constant("y_zero", zero)]
        else:
            names = [f"{same_as}_scale", f"{same_as}_zero"]
        self.nodes.append(helper.make_node("QuantizeLinear", ["y_real", *names], ["y"]))
        output = helper.make_tensor_value_info("y", CODES[kind][1], None)
        graph = helper.make_graph(self.nodes, "case", self.inputs, [output], self.initializers)
        opsets = [helper.make_opsetid("", 17)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def conv(case, weights):
    g = case.generator
    groups = g.choice([1, 1, 1, 2, 0])
    channels, outputs = (g.choice([4, 8, 12]),) * 2 if groups == 0 else (g.choice([3, 4, 8, 16]), g.choice([4, 8, 10, 16]))
    if groups == 0:
        groups = channels
    channels, outputs = (channels + channels % groups, outputs + outputs % groups)
    kernel = g.choice([1, 3, 5])
    x, x_scale = case.input("x", [1, channels, g.randint(6, 13), g.randint(6, 13)])
    w, w_scales = case.weight("w", [outputs, channels // groups, kernel, kernel], weights, 0 if weights == "int8" and g.random() < 0.7 else None)
    inputs = [x, w]
    if g.random() < 0.7:
        inputs.append(case.bias("b", outputs, x_scale, w_scales))
    pad = g.randint(0, kernel // 2)
    case.node("Conv", inputs, group=groups, pads=[pad] * 4, strides=[g.choice([1, 2])] * 2, kernel_shape=[kernel, kernel])
    return 0.3 * (channels // groups * kernel * kernel) ** 0.5


def matmul(case, weights):
    g = case.generator
    depth, columns = g.choice([8, 17, 32, 65]), g.choice([5, 8, 16, 33])
    x, _ = case.input("x", [g.randint(1, 9), depth])
    w, _ = case.weight("w", [depth, columns], weights, 1 if weights == "int8" and g.random() < 0.5 else None)
    case.node("MatMul", [x, w])
    return 0.3 * depth**0.5


def gemm(case, weights):
    g = case.generator
    depth, columns = g.choice([8, 17, 32, 65]), g.choice([5, 8, 16, 33])
    x, x_scale = case.input("x", [g.randint(1, 9), depth])
    transposed = g.random() < 0.5
    shape = [columns, depth] if transposed else [depth, columns]
    w, w_scales = case.weight("w", shape, weights)
    inputs = [x, w, case.bias("b", columns, x_scale, w_scales)]
    case.node("Gemm", inputs, transB=int(transposed))
    return 0.3 * depth**0.5


def binary(operator):
    def build(case, weights):
        shape = [case.generator.randint(1, 3), case.generator.randint(1, 70)]
        case.node(operator, [case.input("x", shape)[0], case.input("z", shape)[0]])
        return 0.15 if operator == "Add" else 1.0
    return build


def global_average_pool(case, weights):
    g = case.generator
    x, _ = case.input("x", [1, g.randint(1, 40), g.randint(1, 9), g.randint(1, 9)])
    case.node("GlobalAveragePool", [x])
    return 0.1


def average_pool(case, weights):
    g = case.generator
    x, _ = case.input("x", [1, g.randint(1, 20), g.randint(5, 11), g.randint(5, 11)])
    pad = g.choice([0, 1])
    case.node("AveragePool", [x], kernel_shape=[3, 3], pads=[pad] * 4, strides=[g.choice([1, 2])] * 2, count_include_pad=g.choice([0, 1]))
    return 0.1


def concat(case, weights):
    shape = [1, case.generator.randint(1, 9), 5]
    case.node("Concat", [case.input("x", shape)[0], case.input("z", shape)[0]], axis=1)
    return 0.15


def unary(operator, **attributes):
    def build(case, weights):
        case.node(operator, [case.input("x", [3, case.generator.randint(1, 300)])[0]], **attributes)
        return 0.02 if operator in ("Sigmoid", "Softmax") else 0.15
    return build


class Fused:
    """The model as onnxruntime optimizes it, signed activations included; without its own layouts where it is to be read again."""

    def __init__(self, path, result, portable=False):
        options = onnxruntime.SessionOptions()
        if portable:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(result)
        options.intra_op_num_threads = 2
        options.log_severity_level = 3
        options.add_session_config_entry("session.qdqisint8allowed", "1")
        self.session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
        self.outputs = [output.name for output in self.session.get_outputs()]
        self.operators = [node.op_type for node in onnx.load(str(result), load_external_data=False).graph.node]

    def run(self, sample):
        return dict(zip(self.outputs, self.session.run(None, sample), strict=True))


OPERATORS = {
    "Conv": conv, "MatMul": matmul, "Gemm": gemm, "Add": binary("Add"), "Mul": binary("Mul"),
    "GlobalAveragePool": global_average_pool, "AveragePool": average_pool, "Concat": concat, "Sigmoid": unary("Sigmoid"),
    "LeakyRelu": unary("LeakyRelu", alpha=0.1),
}
WEIGHTED = ("Conv", "MatMul", "Gemm")


def qlinear(report, name, case, path, folder):
    """Our result on the QLinear form that onnxruntime made of a case; None where it cannot be read or stays float."""
    Fused(path, folder / "qlinear.onnx", portable=True)
    outcome = onnxq("build", folder / "qlinear.onnx", "-o", folder / "qlinear.engine", "--rounding", "float32", "--format", "json")
    if not report.check(f"{name}: build of the QLinear form", outcome.code == 0, outcome):
        return None
    islands = {row["op_type"] for row in outcome.json["float_islands"]}
    if not report.check(f"{name}: QLinear form in integers", not islands, outcome.json["float_islands"]):
        return None
    return run_model(folder / "qlinear.engine", case.sample, folder / "run")["y"]


def whole(report, entry, folder, form="qdq"):
    """A model for onnxruntime, ours or one that came quantized: outputs that differ, in all and by how much."""
    model = entry.path
    name = entry.name if form == "qdq" else f"{entry.name} ({form})"
    if entry.kind == "main":
        data = write_samples(folder / "calibration", entry.calibration(16))
        model = folder / "model.qdq.onnx"
        # Float islands would differ in summation order; without rescue there are fewest.
        outcome = onnxq(
            "insert-qdq", entry.path, "--data", data, "-t", "onnxruntime", "-o", model, "--rescue", "none", "--quant-format", form
        )
        if not report.check(f"{name}: insert-qdq", outcome.code == 0, outcome):
            return
    engine = folder / "model.engine"
    outcome = onnxq("build", model, "-o", engine, "--rounding", "float32", "--format", "json")
    if not report.check(f"{name}: build", outcome.code == 0, outcome):
        return
    islands = sorted({row["op_type"] for row in outcome.json["float_islands"]})
    try:
        peer = Fused(model, folder / "fused.onnx")
    except Exception as error:  # onnxruntime raises several types
        report.check(f"{name}: onnxruntime", False, error)
        return
    elements = differing = 0
    largest = 0.0
    for sample in entry.evaluation(2):
        expected, got = peer.run(sample), run_model(engine, sample, folder / "run")
        for output, wanted in expected.items():
            elements += wanted.size
            differing += numpy.count_nonzero(wanted != got[output])
            largest = max(largest, float(numpy.max(numpy.abs(wanted.astype(float) - got[output])) / (numpy.max(numpy.abs(wanted)) or 1)))
    report.line(
        f"  {name:36} {differing} of {elements} outputs differ, by {largest:.2g} of the largest at most"
        + (f"; in float here: {', '.join(islands)}" if islands else "")
    )
    if not has_vnni():
        report.line("    not held: without VNNI onnxruntime saturates inside its sums")
    elif entry.name in FLOAT_WITHIN:
        report.line(f"    not held: {FLOAT_WITHIN[entry.name]} are float in the middle of the network")
    else:
        equal = differing == 0 if entry.name in EXACT else largest <= TAIL
        report.check(f"{name}: equal", equal, f"{differing} differ, by {largest:.2g}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=12, help="of each operator and each pair of types")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("operators", nargs="*", help=", ".join(OPERATORS))
    options = parser.parse_args()
    if unknown := set(options.operators) - OPERATORS.keys():
        parser.error(f"no such operator: {', '.join(sorted(unknown))}")
    report = Report("as onnxruntime rounds")
    print(f"  seed {options.seed}")
    pairs = [("int8", "int8"), ("uint8", "uint8")] + ([("uint8", "int8")] if has_vnni() else [])
    for operator in options.operators or OPERATORS:
        for activation, weights in pairs if operator in WEIGHTED else [("int8", "int8"), ("uint8", "uint8")]:
            elements = wrong = 0
            for number in range(options.cases):
                generator = random.Random(f"{options.seed} {operator} {activation} {weights} {number}")
                case = Case(generator, activation)
                spread = OPERATORS[operator](case, weights)
                model = case.model("y_real", numpy.float32(spread * generator.uniform(0.02, 0.2)))
                name = f"{operator} {activation} {weights} case {number}"
                with tempfile.TemporaryDirectory() as folder:
                    folder = pathlib.Path(folder)
                    path, engine = folder / "case.onnx", folder / "case.engine"
                    onnx.save(model, path)
                    outcome = onnxq("build", path, "-o", engine, "--rounding", "float32", "--format", "json")
                    if not report.check(f"{name}: build", outcome.code == 0, outcome):
                        continue
                    islands = {row["op_type"] for row in outcome.json["float_islands"]}
                    report.check(f"{name}: in integers here", not islands, islands)
                    peer = Fused(path, folder / "fused.onnx")
                    report.check(f"{name}: in integers there", "DequantizeLinear" not in peer.operators, peer.operators)
                    expected = peer.run(case.sample)["y"]
                    got = run_model(engine, case.sample, folder / "run")["y"]
                    again = qlinear(report, name, case, path, folder)
                differing = numpy.count_nonzero(expected != got)
                elements += expected.size
                wrong += differing
                report.check(name, differing == 0, f"{differing} of {expected.size} codes differ")
                if again is not None:
                    report.check(f"{name}: as QLinear", numpy.array_equal(expected, again), "other codes than from Q/DQ")
            report.line(f"  {operator:18} {activation} x {weights}: {wrong} of {elements} codes differ")
    if not options.operators:
        for entry in zoo.entries(kinds=("main", "q")):
            for form in ("qdq", "qoperator") if entry.kind == "main" else ("qdq",):
                with tempfile.TemporaryDirectory() as folder:
                    whole(report, entry, pathlib.Path(folder), form)
    report.finish()


if __name__ == "__main__":
    main()
