"""Latency of the float and the integer executor beside onnxruntime, batch 1, one thread: a table on standard output.

usage: bench.py [--seconds S] [MODEL...]
"""
import argparse
import pathlib
import tempfile
import time

import numpy

import zoo
from engines import Engine
from support import Report, onnxq, write_samples

MODELS = ["digits", "mnist-8", "resnet20", "tiny-ic-resnet8", "mobilenetv1-nchw", "minilm", "yolox-nano"]


def onnxruntime_latency(path, sample, seconds):
    engine = Engine(path, optimized=True, threads=1)
    times = []
    stop = time.perf_counter() + seconds
    for _ in range(3):
        engine.run(sample)
    while time.perf_counter() < stop or len(times) < 10:
        started = time.perf_counter()
        engine.run(sample)
        times.append((time.perf_counter() - started) * 1e3)
    return float(numpy.percentile(times, 10))


def latency(report, name, path, data, executor, seconds):
    outcome = onnxq(
        "bench", path, "--data", data, "--executor", executor, "--threads", 1, "--seconds", seconds, "--format", "json"
    )
    if not report.check(f"{name}: {executor}", outcome.code == 0, outcome):
        return None
    return outcome.json["latency_ms"]["p10"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("models", nargs="*", default=[])
    options = parser.parse_args()
    report = Report("bench")
    available = {entry.name: entry for entry in zoo.entries(kinds=("main",))}
    print("| model | onnxruntime float | onnxq float | onnxruntime Q/DQ | onnxq integer |\n|---|---|---|---|---|")
    for name in options.models or MODELS:
        if name not in available:
            report.skip(name, "../shared/data is not there")
            continue
        entry = available[name]
        sample = entry.evaluation(1)
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            data = write_samples(folder / "data", sample)
            write_samples(folder / "calibration", entry.calibration(8))
            model = folder / "model.qdq.onnx"
            outcome = onnxq("insert-qdq", entry.path, "--data", folder / "calibration", "--target", "integer", "-o", model)
            row = [onnxruntime_latency(entry.path, sample[0], options.seconds)]
            row.append(latency(report, name, entry.path, data, "float", options.seconds))
            if report.check(f"{name}: insert-qdq", outcome.code == 0, outcome):
                row.append(onnxruntime_latency(model, sample[0], options.seconds))
                row.append(latency(report, name, model, data, "integer", options.seconds))
            cells = ["-" if value is None else f"{value:.3f}" for value in row]
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    print("best decile, ms, one thread, batch 1")
    report.finish()


if __name__ == "__main__":
    main()
