"""Full-size networks with seeded random weights, for speed: outputs keep their spread from layer to layer, answers mean nothing."""
import math
import zlib

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17


class Builder:
    """Collects nodes and initializers; methods return the name of the value that they compute."""

    def __init__(self, name, opset=OPSET):
        self.name = name
        self.opset = opset
        self.nodes = []
        self.initializers = []
        self.generator = numpy.random.default_rng(zlib.crc32(name.encode()))
        self.inputs = []

    def input(self, name, shape, kind=TensorProto.FLOAT):
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def constant(self, array, name=None):
        name = name or f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(numpy.asarray(array), name))
        return name

    def normal(self, shape, deviation):
        return self.constant((self.generator.standard_normal(shape) * deviation).astype(numpy.float32))

    def node(self, kind, inputs, **attributes):
        output = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def conv(self, x, channels, outputs, kernel, stride=1, groups=1, activation=None, gain=1.0):
        depth = channels // groups * kernel * kernel
        weights = self.normal((outputs, channels // groups, kernel, kernel), gain * math.sqrt((2 if activation else 1) / depth))
        pad = kernel // 2
        y = self.node(
            "Conv", [x, weights, self.normal((outputs,), 0.05)], kernel_shape=[kernel, kernel], strides=[stride, stride],
            pads=[pad] * 4, group=groups,
        )
        if activation == "relu":
            return self.node("Relu", [y])
        if activation == "relu6":
            return self.node("Clip", [y, self.constant(numpy.float32(0)), self.constant(numpy.float32(6))])
        return y

    def linear(self, x, inputs, outputs):
        y = self.node("MatMul", [x, self.normal((inputs, outputs), math.sqrt(1 / inputs))])
        return self.node("Add", [y, self.normal((outputs,), 0.05)])

    def gemm(self, x, inputs, outputs):
        weights = self.normal((outputs, inputs), math.sqrt(1 / inputs))
        return self.node("Gemm", [x, weights, self.normal((outputs,), 0.05)], transB=1)

    def model(self, output, shape, kind=TensorProto.FLOAT):
        result = helper.make_tensor_value_info(output, kind, shape)
        graph = helper.make_graph(self.nodes, self.name, self.inputs, [result], self.initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=10)
        onnx.checker.check_model(model)
        return model


def resnet50():
    """ResNet-50 v1.5 without batch normalization: 4.1 GMAC, input 1x3x224x224."""
    b = Builder("resnet50")
    x = b.conv(b.input("image", [1, 3, 224, 224]), 3, 64, 7, 2, activation="relu")
    x = b.node("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    channels = 64
    for stage, (width, count) in enumerate([(64, 3), (128, 4), (256, 6), (512, 3)]):
        for block in range(count):
            stride = 2 if stage and block == 0 else 1
            y = b.conv(x, channels, width, 1, activation="relu")
            y = b.conv(y, width, width, 3, stride, activation="relu")
            y = b.conv(y, width, 4 * width, 1, gain=0.5)
            if block == 0:
                x = b.conv(x, channels, 4 * width, 1, stride)
            channels = 4 * width
            x = b.node("Relu", [b.node("Add", [y, x])])
    x = b.node("Flatten", [b.node("GlobalAveragePool", [x])])
    return b.model(b.gemm(x, 2048, 1000), [1, 1000])


def mobilenetv2():
    """MobileNetV2 1.0 without batch normalization: 0.30 GMAC, input 1x3x224x224."""
    b = Builder("mobilenetv2")
    x = b.conv(b.input("image", [1, 3, 224, 224]), 3, 32, 3, 2, activation="relu6")
    channels = 32
    for expansion, width, count, stride in [
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
    ]:
        for block in range(count):
            step = stride if block == 0 else 1
            hidden = channels * expansion
            y = b.conv(x, channels, hidden, 1, activation="relu6") if expansion > 1 else x
            y = b.conv(y, hidden, hidden, 3, step, groups=hidden, activation="relu6")
            y = b.conv(y, hidden, width, 1)
            x = b.node("Add", [x, y]) if step == 1 and channels == width else y
            channels = width
    x = b.conv(x, channels, 1280, 1, activation="relu6")
    x = b.node("Flatten", [b.node("GlobalAveragePool", [x])])
    return b.model(b.gemm(x, 1280, 1000), [1, 1000])


def bert_layers(layers=2, length=128, width=768, heads=12):
    """Encoder layers of BERT-base from embeddings to embeddings: 0.9 GMAC each at 128 tokens; GELU by Erf."""
    b = Builder(f"bert{layers}")
    x = b.input("embeddings", [1, length, width])
    head = width // heads
    for _ in range(layers):
        def split(value, order):
            y = b.node("Reshape", [value, b.constant(numpy.array([1, length, heads, head], numpy.int64))])
            return b.node("Transpose", [y], perm=order)

        q = split(b.linear(x, width, width), [0, 2, 1, 3])
        k = split(b.linear(x, width, width), [0, 2, 3, 1])
        v = split(b.linear(x, width, width), [0, 2, 1, 3])
        scores = b.node("Div", [b.node("MatMul", [q, k]), b.constant(numpy.float32(math.sqrt(head)))])
        y = b.node("MatMul", [b.node("Softmax", [scores], axis=-1), v])
        y = b.node("Transpose", [y], perm=[0, 2, 1, 3])
        y = b.node("Reshape", [y, b.constant(numpy.array([1, length, width], numpy.int64))])
        x = normalized(b, b.node("Add", [b.linear(y, width, width), x]), width)
        h = b.linear(x, width, 4 * width)
        erf = b.node("Erf", [b.node("Div", [h, b.constant(numpy.float32(math.sqrt(2)))])])
        h = b.node("Mul", [b.node("Mul", [h, b.node("Add", [erf, b.constant(numpy.float32(1))])]), b.constant(numpy.float32(0.5))])
        x = normalized(b, b.node("Add", [b.linear(h, 4 * width, width), x]), width)
    return b.model(x, [1, length, width])


def normalized(b, x, width):
    scale, bias = b.constant(numpy.ones(width, numpy.float32)), b.constant(numpy.zeros(width, numpy.float32))
    return b.node("LayerNormalization", [x, scale, bias], axis=-1, epsilon=1e-5)


NETWORKS = {"resnet50": resnet50, "mobilenetv2": mobilenetv2, "bert2": bert_layers}


def written(name, folder):
    """Path of the network in `folder`, where it is built once."""
    path = folder / f"{name}.onnx"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        onnx.save(NETWORKS[name](), str(part))
        part.replace(path)
    return path
