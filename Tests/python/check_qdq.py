"""The main job on every model it must work on, and the Q/DQ models judged by others than onnxq.

For each model and target: `calibrate`, `insert-qdq` and `verify` with its default thresholds end with 0; the official checker
accepts the Q/DQ model; onnxruntime loads and runs it with graph optimization off and on; without optimization its outputs are those
of onnxq's fake quantization: same largest value for classifiers, or a cosine of at least 0.99.
usage: check_qdq.py [--samples N] [--targets T,...] [MODEL...]
"""
import argparse
import pathlib
import shutil
import tempfile

import onnx

import metrics
import zoo
from engines import Engine
from support import Report, onnxq, run_model, shared_data, write_samples

COSINE = 0.99
HEAVY = ("minilm", "yolox-nano")


def judge(report, entry, target, model, samples, folder):
    name = f"{entry.name} for {target}"
    try:
        onnx.checker.check_model(str(model), full_check=True)
    except Exception as error:  # the checker raises several types
        report.check(f"{name}: official checker", False, error)
        return
    report.check(f"{name}: official checker", True)
    try:
        exact = Engine(model)
        optimized = Engine(model, optimized=True)
        expected = [exact.run(sample) for sample in samples]
        shipped = [optimized.run(sample) for sample in samples]
    except Exception as error:  # onnxruntime raises several types
        report.check(f"{name}: onnxruntime", False, error)
        return
    report.check(f"{name}: onnxruntime", True)
    try:
        ours = [run_model(model, sample, folder) for sample in samples]
    except RuntimeError as error:
        report.check(f"{name}: onnxq run", False, error)
        return
    similarity = 1.0
    for output in exact.outputs:
        wanted, got = ([values[output] for values in results] for results in (expected, ours))
        value = metrics.cosine(wanted, got)
        same = entry.classifier and metrics.agreement(wanted, got) == 100
        report.check(f"{name}: {output} as in onnxruntime", same or value >= COSINE, f"cosine {value:.5f}, at least {COSINE}")
        similarity = min(similarity, value)
    first = exact.outputs[0]
    as_shipped = metrics.cosine([v[first] for v in expected], [v[first] for v in shipped])
    return f"cosine to onnxruntime {similarity:.6f}, its own optimized run {as_shipped:.6f}"


def main_job(report, entry, targets, count, folder):
    heavy = entry.name in HEAVY
    calibration = write_samples(folder / "calibration", entry.calibration(16 if heavy else 64))
    samples = entry.evaluation(min(count, 4) if heavy else count)
    evaluation = write_samples(folder / "evaluation", samples)
    statistics = folder / "model.calib"
    outcome = onnxq("calibrate", entry.path, "--data", calibration, "-o", statistics)
    if not report.check(f"{entry.name}: calibrate", outcome.code == 0, outcome):
        return
    seconds = outcome.seconds
    for target in targets:
        model = folder / f"{target}.qdq.onnx"
        outcome = onnxq(
            "insert-qdq", entry.path, "--target", target, "--calibration", statistics, "-o", model, "--format", "json"
        )
        if not report.check(f"{entry.name} for {target}: insert-qdq", outcome.code == 0, outcome):
            continue
        pairs = outcome.json["pairs"]
        text = judge(report, entry, target, model, samples, folder / "run")
        outcome = onnxq("verify", entry.path, model, "--data", evaluation, "--format", "json")
        if not report.check(f"{entry.name} for {target}: verify", outcome.code == 0, outcome):
            continue
        result = outcome.json
        worst = {}
        for output in result["outputs"]:
            # Infinity, where both are equal, comes as a string: JSON has no number for it.
            value = float(output["sqnr_db"]) if output["sqnr_db"] is not None else None
            if value is not None:
                worst[output["pair"]] = min(worst.get(output["pair"], value), value)
        report.line(
            f"  {entry.name:20} {target:12} calibrate {seconds:5.1f} s, {pairs} pairs, {text}, verify {result['verdict']}: "
            + ", ".join(f"{pair} {value:.1f} dB" for pair, value in worst.items())
        )


def already_quantized(report, entry, count, folder):
    """A model that holds Q/DQ: completed or left alone, never broken; its own scales stay."""
    samples = entry.evaluation(count)
    calibration = write_samples(folder / "calibration", entry.calibration(32))
    # The result points at the source's external data, so it stands beside the source.
    for path in entry.path.parent.iterdir():
        if path.suffix in (".onnx", ".bin"):
            shutil.copy(path, folder)
    model = folder / "completed.qdq.onnx"
    outcome = onnxq("insert-qdq", folder / entry.path.name, "--data", calibration, "--target", "onnxruntime", "-o", model)
    if report.check(f"{entry.name}: insert-qdq", outcome.code == 0, outcome):
        text = judge(report, entry, "onnxruntime", model, samples, folder / "run")
        report.line(f"  {entry.name:20} completed    {text}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--targets", default="tensorrt,onnxruntime,integer")
    parser.add_argument("models", nargs="*")
    options = parser.parse_args()
    report = Report("Q/DQ models and onnxruntime")
    if shared_data() is None:
        report.skip("shared models", "../shared/data is not there")
    for entry in zoo.entries(kinds=("main", "q"), names=options.models):
        with tempfile.TemporaryDirectory() as folder:
            if entry.kind == "main":
                main_job(report, entry, options.targets.split(","), options.samples, pathlib.Path(folder))
            else:
                already_quantized(report, entry, min(options.samples, 4), pathlib.Path(folder))
    report.finish()


if __name__ == "__main__":
    main()
