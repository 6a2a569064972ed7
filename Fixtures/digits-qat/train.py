"""Fine-tunes the digits network with trained fake quantization and writes what Fixtures/digits-qat commits.

BatchNormalization is folded first. Each convolution and the linear head then see a fake-quantized input (per tensor) and
fake-quantized weights (per output channel), symmetric int8. The logarithms of all scales are parameters: they
learn by the straight-through rule of learned step sizes. The residual branch of the Add is left alone on purpose: `insert-qdq` completes it.
Usage, after ../digits/train.py: /usr/bin/python3 train.py
"""

import pathlib
import sys

import numpy
import torch
from torch import nn

here = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(here.parent / "digits"))
import network  # noqa: E402


class FakeQuantize(nn.Module):
    """Symmetric int8 fake quantization with a learned scale; `axis` None is per tensor."""

    def __init__(self, scale, axis=None):
        super().__init__()
        self.log_scale = nn.Parameter(torch.as_tensor(scale, dtype=torch.float32).log())
        self.axis = axis

    def freeze(self):
        """Fixes the scale: from here on the operators run that the exporter writes as Q/DQ."""
        self.scale = self.log_scale.detach().exp()
        self.zero_point = torch.zeros(self.scale.shape, dtype=torch.int32)

    def forward(self, x):
        if not self.training:
            if self.axis is None:
                return torch.fake_quantize_per_tensor_affine(x, self.scale, self.zero_point, -128, 127)
            return torch.fake_quantize_per_channel_affine(x, self.scale, self.zero_point, self.axis, -128, 127)
        scale = self.log_scale.exp()
        if self.axis is not None:
            scale = scale.reshape([-1] + [1] * (x.dim() - 1))
        steps = (x / scale).clamp(-128, 127)
        return (steps + (steps.round() - steps).detach()) * scale


class Quantized(nn.Module):
    """A convolution or linear layer with fake-quantized input and weights."""

    def __init__(self, layer, input_scale):
        super().__init__()
        self.layer = layer
        self.input = FakeQuantize(input_scale)
        self.weight = FakeQuantize(layer.weight.detach().abs().flatten(1).amax(1) / 127, axis=0)

    def forward(self, x):
        x, weight = self.input(x), self.weight(self.layer.weight)
        if isinstance(self.layer, nn.Linear):
            return nn.functional.linear(x, weight, self.layer.bias)
        return nn.functional.conv2d(x, weight, self.layer.bias, padding=1)


class QuantizedDigitsNet(nn.Module):
    names = ["stem", "block1", "block2", "wide1", "wide2", "head"]

    def __init__(self, source, calibration):
        super().__init__()
        ranges = {}
        for name in self.names:
            getattr(source, name).register_forward_hook(
                lambda _, inputs, __, name=name: ranges.update({name: float(inputs[0].abs().max())})
            )
        network_input = torch.from_numpy(calibration)
        with torch.no_grad():
            source(network_input)
        for name in self.names:
            layer = getattr(source, name)
            if name != "head":
                layer = nn.utils.fusion.fuse_conv_bn_eval(layer, getattr(source, name + "_bn"))
            setattr(self, name, Quantized(layer, ranges[name] / 127))

    def forward(self, image):
        x = torch.relu(self.stem(image))
        y = self.block2(torch.relu(self.block1(x)))
        x = torch.max_pool2d(torch.relu(x + y), 2)
        x = torch.relu(self.wide2(torch.relu(self.wide1(x))))
        return self.head(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))


def freeze(model):
    model.eval()
    for module in model.modules():
        if isinstance(module, FakeQuantize):
            module.freeze()


network.deterministic()
train, calibration, test = network.split()
source = network.DigitsNet()
source.load_state_dict(torch.load(here.parent / "digits" / "digits.pt"))
source.eval()
model = QuantizedDigitsNet(source, calibration[0])
freeze(model)
print(f"before training {network.accuracy(network.outputs(model, test[0]), test[1]):.2f} %")
network.fit(model, train, epochs=20, rate=0.001)
freeze(model)
scores = network.outputs(model, test[0])
print(f"test accuracy {network.accuracy(scores, test[1]):.2f} % of {len(test[1])}")

torch.save(model.state_dict(), here / "digits_qat.pt")
network.export(model, here / "digits_qat.onnx", fold_constants=True)
numpy.save(here / "reference.npy", scores)
