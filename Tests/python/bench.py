"""What calibration costs: the whole process of `onnxq calibrate` with 100 samples, beside the same samples through onnxruntime.

The onnxruntime column runs the float model alone (2 threads, no statistics, loading not counted): the least that a calibrator
built on it can cost. usage: bench.py [MODEL...]
"""
import argparse
import pathlib
import tempfile
import time

import zoo
from engines import Engine
from support import Report, onnxq, write_samples

MODELS = ["digits", "mnist-8", "resnet20", "tiny-ic-resnet8", "mobilenetv1", "minilm", "yolox-nano"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*")
    options = parser.parse_args()
    report = Report("bench")
    available = {entry.name: entry for entry in zoo.entries(kinds=("main",))}
    print("| model | samples | wall s | CPU s | peak MiB | float model alone in onnxruntime, wall s |\n|---|---|---|---|---|---|")
    for name in options.models or MODELS:
        if name not in available:
            report.skip(name, "../shared/data is not there")
            continue
        entry = available[name]
        samples = entry.calibration(100)
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            data = write_samples(folder / "data", samples)
            outcome = onnxq("calibrate", entry.path, "--data", data, "-o", folder / "m.calib", "--format", "json")
            if not report.check(name, outcome.code == 0, outcome):
                continue
            engine = Engine(entry.path, optimized=True)
            started = time.perf_counter()
            for sample in samples:
                engine.run(sample)
            alone = time.perf_counter() - started
            result = outcome.json
            print(
                f"| {name} | {result['samples']} | {outcome.seconds:.2f} | {result['cpu_seconds']:.2f} | "
                f"{result['peak_bytes'] / 2**20:.0f} | {alone:.2f} |",
                flush=True,
            )
    report.finish()


if __name__ == "__main__":
    main()
