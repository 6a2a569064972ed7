"""calibrate and insert-qdq for every target over every float model: no exception, and onnxruntime loads every result.

usage: survey.py [--targets T,...] [MODEL...]
"""
import argparse
import pathlib
import tempfile

import onnx
import onnxruntime

import zoo
from support import Report, onnxq, shared_data, write_samples

TARGETS = "tensorrt,tensorrt-dla,onnxruntime,onnxruntime-avx2,onnxruntime-arm64,openvino,qnn,integer"
SAMPLES = 4


def survey(report, entry, targets, folder):
    calibration = write_samples(folder / "calibration", entry.calibration(SAMPLES))
    statistics = folder / "model.calib"
    outcome = onnxq("calibrate", entry.path, "--data", calibration, "-o", statistics)
    if not report.check(f"{entry.name}: calibrate", outcome.code == 0, outcome):
        return
    shares = []
    for target in targets:
        name = f"{entry.name} for {target}"
        model = folder / f"{target}.qdq.onnx"
        # Few samples leave branches of If unseen: those stay float.
        outcome = onnxq(
            "insert-qdq", entry.path, "--target", target, "--calibration", statistics, "--missing-data", "float",
            "-o", model, "--format", "json",
        )
        if not report.check(f"{name}: insert-qdq", outcome.code == 0, outcome):
            continue
        try:
            onnx.checker.check_model(str(model), full_check=True)
            onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
        except Exception as error:  # both raise several types
            report.check(f"{name}: loads", False, error)
            continue
        report.check(f"{name}: loads", True)
        share = outcome.json["macs"].get("share")
        shares.append(f"{target} {outcome.json['pairs']}" + (f" ({share:.1%})" if share is not None else ""))
    report.line(f"  {entry.name:20} pairs (share of MACs): {', '.join(shares)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", default=TARGETS)
    parser.add_argument("models", nargs="*")
    options = parser.parse_args()
    report = Report("every target over every float model")
    if shared_data() is None:
        report.skip("shared models", "../shared/data is not there")
    for entry in zoo.entries(kinds=("main", "run"), names=options.models):
        with tempfile.TemporaryDirectory() as folder:
            survey(report, entry, options.targets.split(","), pathlib.Path(folder))
    report.finish()


if __name__ == "__main__":
    main()
