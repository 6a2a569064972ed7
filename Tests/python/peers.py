"""onnxruntime's own quantizer on the same models, data and judge: a table for docs/benchmarks.md.

`onnxruntime.quantization.quantize_static`, Q/DQ, signed int8, per channel, with its min-max, entropy and percentile calibration,
beside `onnxq` for `onnxruntime`: measured on the calibration samples (--data), from their statistics alone, and with --method. The judge is onnxruntime without graph optimization.
Collecting histograms takes onnxruntime gigabytes: --calibration says of how many samples.
usage: peers.py [--calibration N] [--samples N] [MODEL...]
"""
import argparse
import pathlib
import resource
import tempfile

import numpy
import onnx
import onnx.version_converter
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

import metrics
import zoo
from accuracy import neighbours, sentences
from engines import Engine
from support import Report, onnxq, shared_data, write_samples

MODELS = ("mnist-8", "resnet20", "mobilenetv1", "minilm", "yolox-nano")
METHODS = {
    "min-max": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
}
OURS = {
    "--data": None,
    "statistics alone": [],
    "statistics alone, nothing float": ["--rescue", "none"],
    "entropy": ["--method", "entropy"],
    "percentile": ["--method", "percentile"],
}


class Reader(CalibrationDataReader):
    def __init__(self, samples):
        self.samples = iter(samples)

    def get_next(self):
        return next(self.samples, None)


def judged(entry, model, samples, expected):
    """SQNR of the first output, and agreement as the model's kind has it."""
    engine = Engine(model)
    outputs = [list(engine.run(sample).values())[0] for sample in samples]
    text = f"{metrics.sqnr_db(expected, outputs):.1f} dB | cosine {metrics.cosine(expected, outputs):.4f}"
    if entry.classifier:
        labels = entry.labels(len(samples))
        float_hits, hits = [(metrics.top1(values) == labels).mean() * 100 for values in (expected, outputs)]
        text += f", agreement {metrics.agreement(expected, outputs):.1f} %, top-1 {hits:.1f} (float {float_hits:.1f})"
    if entry.name == "minilm":
        a, b = sentences(expected, samples), sentences(outputs, samples)
        cosine = numpy.mean([metrics.cosine([x], [y]) for x, y in zip(a, b, strict=True)])
        text += f"; sentences: cosine {cosine:.4f}, same neighbour {(neighbours(a) == neighbours(b)).mean() * 100:.1f} %"
    return text


def seconds():
    return sum(resource.getrusage(who).ru_utime for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def raised(entry, folder):
    """Per-axis Q/DQ needs opset 13, which onnxruntime's quantizer does not see to."""
    model = onnx.load(str(entry.path))
    if next(item.version for item in model.opset_import if item.domain == "") >= 13:
        return entry.path
    onnx.save(onnx.version_converter.convert_version(model, 17), str(folder / "raised.onnx"))
    return folder / "raised.onnx"


def peers(report, entry, calibration, samples, expected, folder):
    source = raised(entry, folder)
    variants = {"": None}
    if entry.name == "minilm":
        variants = {"": None, ", MatMul only": ["MatMul"]}
    for name, method in METHODS.items():
        for suffix, operators in variants.items():
            label = f"onnxruntime {name}{suffix}"
            started = seconds()
            try:
                quantize_static(
                    str(source), str(folder / "peer.onnx"), Reader(calibration), quant_format=QuantFormat.QDQ,
                    per_channel=True, activation_type=QuantType.QInt8, weight_type=QuantType.QInt8,
                    calibrate_method=method, op_types_to_quantize=operators,
                )
                used = seconds() - started
                text = judged(entry, folder / "peer.onnx", samples, expected)
            except Exception as error:  # it raises several types
                used, text = seconds() - started, f"fails: {type(error).__name__} {str(error)[:80]} |"
            report.line(f"| {entry.name} | {label} | {text} | {used:.1f} |")


def described(result):
    """What was chosen: the share of the MACs in integers, the tensors left float, the method."""
    decisions = result["decisions"]
    left = [item["tensor"] for item in decisions if item["rule"] == "Q16" and "scale" not in item]
    methods = [item["method"].split(",")[0] for item in decisions if item.get("range") and "method" in item]
    method = max(set(methods), key=methods.count) if methods else "-"
    names = f" ({', '.join(left)})" if 0 < len(left) <= 20 else ""
    return f"{result['macs']['share'] * 100:.1f} % of MACs in int8, {len(left)} tensors float{names}, {method}"


def ours(report, entry, calibration, samples, expected, folder):
    data = write_samples(folder / "calibration", calibration)
    started = seconds()
    outcome = onnxq("calibrate", entry.path, "--data", data, "-o", folder / "m.calib")
    if not report.check(f"{entry.name}: calibrate", outcome.code == 0, outcome):
        return
    spent = seconds() - started
    for name, arguments in OURS.items():
        started = seconds()
        model = folder / f"{name.replace(' ', '-')}.onnx"
        source = ["--data", data] if arguments is None else ["--calibration", folder / "m.calib", *arguments]
        outcome = onnxq(
            "insert-qdq", entry.path, "-t", "onnxruntime", *source, "-o", model, "--format", "json", timeout=1800
        )
        if report.check(f"{entry.name} {name}: insert-qdq", outcome.code == 0, outcome):
            used = seconds() - started + (spent if arguments is not None else 0)
            onnx.checker.check_model(str(model))
            text = f"{judged(entry, model, samples, expected)}; {described(outcome.json)}"
            report.line(f"| {entry.name} | onnxq {name} | {text} | {used:.1f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calibration", type=int, default=100)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("models", nargs="*", default=list(MODELS))
    options = parser.parse_args()
    report = Report("peers")
    if shared_data() is None:
        report.skip("peers", "../shared/data is not there")
        report.finish()
    report.line(f"{options.calibration} calibration samples, at most {options.samples} evaluated; CPU seconds of the quantizer")
    report.line("| model | quantizer | SQNR | likeness to float | CPU s |")
    report.line("|---|---|---|---|---|")
    for entry in zoo.entries(names=options.models):
        calibration, samples = entry.calibration(options.calibration), entry.evaluation(options.samples)
        engine = Engine(entry.path)
        expected = [list(engine.run(sample).values())[0] for sample in samples]
        with tempfile.TemporaryDirectory() as folder:
            ours(report, entry, calibration, samples, expected, pathlib.Path(folder))
            peers(report, entry, calibration, samples, expected, pathlib.Path(folder))
    report.finish()


if __name__ == "__main__":
    main()
