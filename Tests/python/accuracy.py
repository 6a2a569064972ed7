"""The accuracy that onnxq promises with default settings, on the evaluation data of ../shared/data.

MobileNetV1-0.25, 200 pictures: for `onnxruntime` and `integer` at least 88 % top-1 agreement with float, for `onnxruntime` an
output SQNR of at least 18 dB; in onnxruntime without graph optimization and in onnxq's own executors. MiniLM, 200 sentences: the
mask-weighted mean of the Q/DQ model for `onnxruntime` keeps a cosine of at least 0.985 with all matrix products in int8. YOLOX-nano,
20 pictures, `insert-qdq --data` for `onnxruntime`: 15 dB with 95 % of the MACs in int8. Digits: within 0.5 points of float.
"""
import pathlib
import tempfile

import numpy

import metrics
import zoo
from engines import Engine
from support import Report, onnxq, shared_data, write_samples

AGREEMENT = 88.0
SQNR_DB = 18.0
COSINE = 0.985
DETECTOR_DB = 15.0
DETECTOR_SHARE = 0.95
POINTS = 0.5


def quantized(report, entry, target, folder, calibration_count):
    model = folder / f"{target}.qdq.onnx"
    if not (folder / "calibration").exists():
        write_samples(folder / "calibration", entry.calibration(calibration_count))
    if not (folder / "model.calib").exists():
        outcome = onnxq("calibrate", entry.path, "--data", folder / "calibration", "-o", folder / "model.calib")
        if not report.check(f"{entry.name}: calibrate", outcome.code == 0, outcome):
            return None
        report.line(f"  {entry.name}: calibrated on {calibration_count} samples in {outcome.seconds:.1f} s")
    outcome = onnxq(
        "insert-qdq", entry.path, "--target", target, "--calibration", folder / "model.calib", "-o", model
    )
    return model if report.check(f"{entry.name} for {target}: insert-qdq", outcome.code == 0, outcome) else None


def evaluate(report, entry, samples, folder, targets, calibration_count, labels):
    """Per target: verify's JSON, the float outputs and the Q/DQ model's outputs, both of exact onnxruntime."""
    evaluation = write_samples(folder / "evaluation", samples)
    lines = [f"evaluation/{i:04d}.npy {label}\n" for i, label in enumerate(labels if labels is not None else [])]
    (folder / "labels.txt").write_text("".join(lines))
    reference = Engine(entry.path)
    expected = [list(reference.run(sample).values())[0] for sample in samples]
    for target in targets:
        model = quantized(report, entry, target, folder, calibration_count)
        if model is None:
            continue
        options = ["--labels", folder / "labels.txt"] if lines else []
        outcome = onnxq("verify", entry.path, model, "--data", evaluation, *options, "--format", "json")
        if not report.check(f"{entry.name} for {target}: verify", outcome.code in (0, 1), outcome):
            continue
        engine = Engine(model)
        yield target, outcome.json, expected, [list(engine.run(sample).values())[0] for sample in samples]


def classifier(report, entry, count, folder, targets, floors):
    samples = entry.evaluation(count)
    labels = entry.labels(len(samples))
    for target, result, expected, outputs in evaluate(report, entry, samples, folder, targets, 100, labels):
        name = f"{entry.name} for {target}"
        agreements = {
            "onnxruntime": metrics.agreement(expected, outputs),
            "fake-quant": result["agreement"]["fake_quant"],
            "integer": result["agreement"]["integer"],
        }
        sqnr = {"onnxruntime": metrics.sqnr_db(expected, outputs)}
        for output in result["outputs"]:
            # Infinity, where both are equal, comes as a string: JSON has no number for it.
            sqnr[output["pair"]] = float(output["sqnr_db"]) if output["sqnr_db"] is not None else None
        exact = (metrics.top1(outputs) == labels).mean() * 100
        report.line(
            f"  {name}: top-1 float {result['top1']['float']:.2f}, fake-quant {result['top1']['fake_quant']:.2f}, integer "
            f"{result['top1']['integer']:.2f}, onnxruntime {exact:.2f}; agreement "
            + ", ".join(f"{key} {value:.1f} %" for key, value in agreements.items())
            + "; SQNR "
            + ", ".join(f"{key} {value:.2f} dB" for key, value in sqnr.items() if value is not None)
        )
        if "agreement" in floors:
            for key, value in agreements.items():
                report.check(f"{name}: agreement of {key}", value >= AGREEMENT, f"{value:.1f} %, at least {AGREEMENT}")
        if "sqnr" in floors and target == "onnxruntime":
            for key in ("onnxruntime", "float/fake-quant"):
                report.check(f"{name}: SQNR of {key}", sqnr[key] >= SQNR_DB, f"{sqnr[key]:.2f} dB, at least {SQNR_DB}")
        if "points" in floors:
            drop = result["top1"]["float"] - min(result["top1"]["integer"], result["top1"]["fake_quant"])
            report.check(f"{name}: points lost", drop <= POINTS, f"{drop:.2f}, at most {POINTS}")


def sentences(hidden, samples):
    """The mask-weighted mean over the tokens."""
    result = []
    for value, sample in zip(hidden, samples, strict=True):
        mask = sample["attention_mask"][..., None]
        result.append((value * mask).sum(1)[0] / mask.sum())
    return numpy.array(result)


def neighbours(vectors):
    unit = vectors / numpy.linalg.norm(vectors, axis=1, keepdims=True)
    similarity = unit @ unit.T
    numpy.fill_diagonal(similarity, -2)
    return similarity.argmax(1)


def encoder(report, entry, folder):
    samples = entry.evaluation(200)
    for target, result, expected, outputs in evaluate(report, entry, samples, folder, ["onnxruntime"], 100, None):
        a, b = sentences(expected, samples), sentences(outputs, samples)
        cosine = numpy.mean([metrics.cosine([x], [y]) for x, y in zip(a, b, strict=True)])
        same = (neighbours(a) == neighbours(b)).mean() * 100
        report.line(f"  {entry.name} for {target}: cosine {cosine:.4f}, same nearest neighbour {same:.1f} %")
        report.check(f"{entry.name} for {target}: cosine", cosine >= COSINE, f"{cosine:.4f}, at least {COSINE}")
        share = result["macs"]["share"]
        report.line(f"  {entry.name} for {target}: {share * 100:.1f} % of the MACs in the integer executor's integers")


def detector(report, entry, folder):
    calibration = write_samples(folder / "calibration", entry.calibration(16))
    model = folder / "measured.qdq.onnx"
    outcome = onnxq(
        "insert-qdq", entry.path, "--target", "onnxruntime", "--data", calibration, "-o", model, "--format", "json"
    )
    if not report.check(f"{entry.name}: insert-qdq --data", outcome.code == 0, outcome):
        return
    share = outcome.json["macs"]["share"]
    reference, engine = Engine(entry.path), Engine(model)
    samples = entry.evaluation(20)
    expected, outputs = [[list(run(sample).values())[0] for sample in samples] for run in (reference.run, engine.run)]
    ratio = metrics.sqnr_db(expected, outputs)
    report.line(f"  {entry.name} for onnxruntime: {ratio:.2f} dB with {share * 100:.1f} % of the MACs in int8, {outcome.seconds:.0f} s")
    report.check(f"{entry.name}: SQNR", ratio >= DETECTOR_DB, f"{ratio:.2f} dB, at least {DETECTOR_DB}")
    report.check(f"{entry.name}: MACs in int8", share >= DETECTOR_SHARE, f"{share:.3f}, at least {DETECTOR_SHARE}")


def main():
    report = Report("accuracy")
    models = {entry.name: entry for entry in zoo.entries(kinds=("main",))}
    with tempfile.TemporaryDirectory() as folder:
        classifier(
            report, models["digits"], 450, pathlib.Path(folder), ["tensorrt", "onnxruntime", "integer"], ["points"]
        )
    if shared_data() is None:
        report.skip("MobileNet, MiniLM and YOLOX", "../shared/data is not there")
        report.finish()
    with tempfile.TemporaryDirectory() as folder:
        classifier(
            report, models["mobilenetv1"], 200, pathlib.Path(folder), ["onnxruntime", "integer"], ["agreement", "sqnr"]
        )
    with tempfile.TemporaryDirectory() as folder:
        encoder(report, models["minilm"], pathlib.Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        detector(report, models["yolox-nano"], pathlib.Path(folder))
    report.finish()


if __name__ == "__main__":
    main()
