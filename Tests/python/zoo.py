"""The models that the interop scripts run, each with real or seeded input as its maker describes it.

An entry gives `calibration` and `evaluation`, functions of a count that return samples; a sample maps input names to arrays.
"""
import dataclasses
import functools
import pathlib
import zlib
from typing import Callable

import numpy
from PIL import Image

from support import FIXTURES, shared_data

# The largest difference allowed, as a share of the output's largest magnitude.
SHALLOW = 2e-5
DEEP = 5e-4
# Takes the logarithm of powers next to zero: onnxruntime differs from itself by 2.5e-3 between its optimization levels.
LOGARITHM = 5e-3


@dataclasses.dataclass
class Entry:
    name: str
    path: pathlib.Path
    kind: str  # "main": the three commands must work; "run": the float executor must; "q": holds Q/DQ already
    calibration: Callable
    evaluation: Callable
    tolerance: float = SHALLOW
    classifier: bool = False
    labels: Callable | None = None


@functools.cache
def arrays(name):
    with numpy.load(shared_data() / "arrays" / f"{name}.npz") as file:
        return {key: file[key] for key in file}


def pictures(folder):
    return sorted((shared_data() / "imagenet-sample" / folder).glob("*.JPEG"))


def picture_labels(count):
    lines = (shared_data() / "imagenet-sample" / "labels.txt").read_text().splitlines()
    classes = {path: int(label) for path, label in (line.rsplit(None, 1) for line in lines)}
    return numpy.array([classes[f"eval/{path.name}"] for path in pictures("eval")[:count]])


def taken(key, name, transform, input_name):
    """Samples from an array file: rows of `key`, transformed, one per sample."""
    return lambda count: [{input_name: transform(row)[None]} for row in arrays(name)[key][:count]]


def digits(folder):
    def samples(count):
        return [{"image": numpy.load(path)} for path in sorted((FIXTURES / "digits" / folder).glob("*.npy"))[:count]]

    return samples


def digits_labels(count):
    lines = (FIXTURES / "digits" / "labels.txt").read_text().splitlines()[:count]
    return numpy.array([int(line.split()[1]) for line in lines])


def grey(row):
    return row.astype(numpy.float32)[None]


def normalized_grey(row):
    return ((row.astype(numpy.float32) / 255 - 0.1307) / 0.3081).astype(numpy.float32)[None]


def cifar_nchw(row):
    mean = numpy.array([0.485, 0.456, 0.406], numpy.float32)
    deviation = numpy.array([0.229, 0.224, 0.225], numpy.float32)
    return ((row.astype(numpy.float32) / 255 - mean) / deviation).transpose(2, 0, 1).astype(numpy.float32)


def cifar_nhwc(row):
    return row.astype(numpy.float32)


def cifar_int8(row):
    return (row.astype(numpy.int16) - 128).astype(numpy.int8)


def opened(path):
    with Image.open(path) as image:
        return image.convert("RGB")


def imagenet(path):
    """Short side 256 bilinear, centre crop 224, x / 127.5 - 1, height x width x channel."""
    image = opened(path)
    width, height = image.size
    scale = 256 / min(width, height)
    image = image.resize((round(width * scale), round(height * scale)), Image.Resampling.BILINEAR)
    left, top = (image.width - 224) // 2, (image.height - 224) // 2
    return numpy.asarray(image.crop((left, top, left + 224, top + 224)), numpy.float32) / 127.5 - 1


def resized(width, height):
    return lambda path: numpy.asarray(
        opened(path).resize((width, height), Image.Resampling.BILINEAR), numpy.float32
    )


def letterbox(path):
    """416 x 416, ratio kept, top left, padded with 114, blue-green-red."""
    image = opened(path)
    ratio = min(416 / image.width, 416 / image.height)
    image = image.resize((int(image.width * ratio), int(image.height * ratio)), Image.Resampling.BILINEAR)
    canvas = numpy.full((416, 416, 3), 114, numpy.float32)
    canvas[: image.height, : image.width] = numpy.asarray(image, numpy.float32)[:, :, ::-1]
    return canvas.transpose(2, 0, 1).copy()


def from_pictures(folder, transform, input_name):
    return lambda count: [{input_name: transform(path)[None].astype(numpy.float32)} for path in pictures(folder)[:count]]


def minilm(start):
    def samples(count):
        data = arrays("minilm_tokens_len64")
        stop = min(start + count, 100 if start == 0 else 300)
        return [{key: data[key][i : i + 1] for key in data} for i in range(start, stop)]

    return samples


def seeded(name, **shapes):
    """Seeded noise of the given shapes; where a shape comes with a function, that makes the array."""

    def samples(count):
        generator = numpy.random.default_rng(zlib.crc32(name.encode()))
        result = []
        for _ in range(count):
            sample = {}
            for key, value in shapes.items():
                sample[key] = (
                    value(generator)
                    if callable(value)
                    else generator.standard_normal(value, dtype=numpy.float32)
                )
            result.append(sample)
        return result

    return samples


def integers(low, high, shape, kind):
    return lambda generator: generator.integers(low, high, shape).astype(kind)


def fixtures():
    models = FIXTURES / "models"
    uint8_input = "MobilenetEdgeTPU/expanded_conv_1/project/BatchNorm/FusedBatchNormV3"
    noise8 = seeded("resnet8", input_1=integers(0, 256, (1, 32, 32, 3), numpy.float32))
    int8 = seeded("resnet8-qdq", input_1_int8=integers(-128, 128, (1, 32, 32, 3), numpy.int8))
    edge = seeded("multi-consumer", **{uint8_input: (1, 32, 56, 56)})
    external = seeded("external", input=(1, 3, 24, 24))
    return [
        Entry(
            "digits", FIXTURES / "digits" / "digits.onnx", "main", digits("calibration"), digits("test"),
            classifier=True, labels=digits_labels,
        ),
        Entry(
            "digits-qat", FIXTURES / "digits-qat" / "digits_qat.onnx", "q", digits("calibration"), digits("test"),
            classifier=True, labels=digits_labels,
        ),
        Entry("tiny-ic-resnet8 (noise)", models / "tiny-ic-resnet8" / "resnet8.onnx", "run", noise8, noise8),
        Entry("tiny-ic-resnet8-qdq (noise)", models / "tiny-ic-resnet8-qdq" / "resnet8_qdq.onnx", "q", int8, int8),
        Entry(
            "ort-conv-qdq-external", models / "ort-conv-qdq-external" / "conv_qdq_external_ini.onnx", "q", external,
            external,
        ),
        Entry("ort-qdq-multi-consumer", models / "ort-qdq-multi-consumer" / "model.onnx", "q", edge, edge),
    ]


def from_shared():
    root = shared_data()
    if root is None:
        return []
    models = root / "models"

    def mnist(name, file, input_name, transform):
        return Entry(
            name, models / name / file, "main", taken("calib_x", "mnist", transform, input_name),
            taken("test_x", "mnist", transform, input_name), classifier=True,
            labels=lambda count: arrays("mnist")["test_y"][:count],
        )

    def cifar(name, path, input_name, transform, kind="main"):
        return Entry(
            name, models / path, kind, taken("calib_x", "cifar10", transform, input_name),
            taken("test_x", "cifar10", transform, input_name), classifier=True,
            labels=lambda count: arrays("cifar10")["test_y"][:count], tolerance=1e-4,
        )

    def imagenet_entry(name, file, transform):
        return Entry(
            name, models / "mobilenetv1-025-imagenet" / file, "main", from_pictures("calib", transform, "input_2"),
            from_pictures("eval", transform, "input_2"), classifier=True, labels=picture_labels, tolerance=DEEP,
        )

    def noise(name, path, kind="run", tolerance=1e-4, **shapes):
        samples = seeded(name, **shapes)
        return Entry(name, models / path, kind, samples, samples, tolerance=tolerance)

    def eye(name, path, transform, input_name):
        return Entry(
            name, models / path, "run", from_pictures("calib", transform, input_name),
            from_pictures("eval", transform, input_name), tolerance=DEEP,
        )

    def channels_first(transform):
        return lambda path: transform(path).transpose(2, 0, 1).copy()

    def fastest(path):
        return resized(352, 352)(path)[:, :, ::-1].transpose(2, 0, 1) / 255

    def face(path):
        return (resized(320, 240)(path).transpose(2, 0, 1) - 127) / 128

    def text(generator):
        words = b"the quick brown fox jumps over the lazy dog and runs away from here to there again"
        start = int(generator.integers(0, 30))
        return numpy.frombuffer(words[start : start + 48], numpy.uint8)[None]

    sound = lambda generator: (  # noqa: E731
        numpy.sin(numpy.arange(43844) * generator.uniform(0.02, 0.2)) * 0.3
    ).astype(numpy.float32)[None, :, None]
    return [
        mnist("mnist-8", "mnist.onnx", "Input3", grey),
        mnist("cnn-mnist-pytorch", "cnn_mnist_pytorch.onnx", "0", normalized_grey),
        mnist("mnist-burn", "mnist.onnx", "input.1", normalized_grey),
        cifar("resnet20", "cifar10-resnet20/resnet20.onnx", "input", cifar_nchw),
        cifar("resnet20_bn", "cifar10-resnet20/resnet20_bn.onnx", "input", cifar_nchw),
        cifar("tiny-ic-resnet8", "tiny-ic-resnet8/resnet8.onnx", "input_1", cifar_nhwc),
        imagenet_entry("mobilenetv1", "mobilenet_v1_0.25_224.onnx", imagenet),
        imagenet_entry("mobilenetv1-nchw", "mobilenet_v1_0.25_224_nchw.onnx", channels_first(imagenet)),
        Entry(
            "minilm", models / "minilm-l6-v2" / "minilm_opset17.onnx", "main", minilm(0), minilm(100), tolerance=DEEP
        ),
        Entry(
            "yolox-nano", models / "yolox-nano" / "yolox_nano.onnx", "main",
            from_pictures("calib", letterbox, "images"), from_pictures("eval", letterbox, "images"), tolerance=DEEP,
        ),
        eye("fastestdet", "fastestdet/FastestDet.onnx", fastest, "input.1"),
        eye("ultraface-rfb-320", "ultraface-rfb-320/version-RFB-320.onnx", face, "input"),
        eye("tiny-vww", "tiny-vww/vww_96.onnx", lambda path: resized(96, 96)(path) / 255, "input_1"),
        noise("tiny-kws", "tiny-kws/kws_ref.onnx", input_1=(1, 49, 10, 1)),
        noise("tiny-ad", "tiny-ad/ad01.onnx", input_1=(1, 640)),
        noise("tiny-sww", "tiny-sww/str_ww.onnx", input_1=(1, 30, 1, 40)),
        noise(
            "silero-vad", "silero-vad/silero_vad.onnx", tolerance=DEEP, input=(1, 512), state=(2, 1, 128),
            sr=lambda _: numpy.array(16000, numpy.int64),
        ),
        noise(
            "dtln-1", "dtln-1/model_1.onnx", input_2=lambda g: abs(g.standard_normal((1, 1, 257), numpy.float32)),
            input_3=lambda g: g.standard_normal((1, 2, 128, 2), numpy.float32) * numpy.float32(0.1),
        ),
        noise("byte-sb-bidi-lstm", "byte-sb-bidi-lstm/model.onnx", input=text),
        noise(
            "basic-pitch", "basic-pitch/nmp.onnx", tolerance=LOGARITHM, **{"serving_default_input_2:0": sound}
        ),
        noise(
            "magika-fast-v2_1", "magika-fast-v2_1/model.onnx", bytes=integers(0, 257, (1, 1024), numpy.int32),
            tolerance=DEEP,
        ),
        cifar("tiny-ic-resnet8-qdq", "tiny-ic-resnet8-qdq/resnet8_qdq.onnx", "input_1_int8", cifar_int8, kind="q"),
        noise(
            "tiny-vww-qdq", "tiny-vww-qdq/vww_qdq.onnx", kind="q",
            input_1_int8=integers(-128, 128, (1, 96, 96, 3), numpy.int8),
        ),
        noise(
            "tiny-kws-qdq", "tiny-kws-qdq/kws_qdq.onnx", kind="q",
            input_1=integers(-128, 128, (1, 49, 10, 1), numpy.int8),
        ),
        noise(
            "ort-qdq16", "ort-qdq16/model.onnx", kind="q",
            **{"MobilenetEdgeTPU/expanded_conv_1/project/BatchNorm/FusedBatchNormV3": (1, 32, 56, 56)},
        ),
    ]


def entries(kinds=("main", "run", "q"), names=()):
    """The chosen entries: all of the fixtures and of the shared models, or those named."""
    chosen = [entry for entry in fixtures() + from_shared() if entry.kind in kinds]
    if not names:
        return chosen
    unknown = set(names) - {entry.name for entry in chosen}
    if unknown:
        raise SystemExit(f"no such model: {', '.join(sorted(unknown))}")
    return [entry for entry in chosen if entry.name in names]
