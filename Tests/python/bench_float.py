"""The float executor beside onnxruntime: CPU time of one inference, one thread, batch 1.

Each side runs N and then 3 N equal samples, onnxq as `onnxq run --data` in a process of its own, onnxruntime in this process
with intra_op = inter_op = 1; the difference leaves start, load and planning out, but holds onnxq's reading of the sample's
file and writing of the outputs. CPU seconds (user) are taken, in turns and as medians, so that the load of other processes
counts little.

--wall takes the median latency of one inference instead, as `onnxq bench` and a loop of as many seconds give it, in turns: for a
machine where nothing else runs.
usage: bench_float.py [--wall] [--threads N] [--turns T] [--onnxq PROGRAM] [--at-least RATIO] [MODEL...]
"""
import argparse
import json
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import numpy
import onnxruntime

import zoo
from support import ONNXQ, Report, shared_data, write_samples

MODELS = [
    "mnist-8", "resnet20", "tiny-ic-resnet8", "mobilenetv1-nchw", "yolox-nano", "fastestdet", "ultraface-rfb-320", "minilm",
    "silero-vad", "tiny-ic-resnet8-qdq",
]


def user_seconds(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    process = subprocess.run([str(part) for part in command], capture_output=True, stdin=subprocess.DEVNULL)
    if process.returncode != 0:
        raise RuntimeError(process.stderr.decode(errors="replace")[-400:])
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def session(path, threads=1):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])


def ort_seconds(engine, sample, count):
    """CPU seconds of one run, warm."""
    started = time.process_time()
    for _ in range(count):
        engine.run(None, sample)
    return (time.process_time() - started) / count


def compare(program, entry, turns, folder):
    sample = entry.calibration(1)[0]
    engine = session(entry.path)
    engine.run(None, sample)
    cost = max(ort_seconds(engine, sample, 3), 1e-5)
    count = int(min(400, max(2, 0.4 / cost)))
    few = write_samples(folder / "few", [sample] * count)
    many = write_samples(folder / "many", [sample] * (3 * count))

    def own(data):
        return user_seconds(
            [program, "run", entry.path, "--data", data, "--threads", 1, "--output-dir", folder / "out", "--quiet"]
        )

    ours, theirs = [], []
    for _ in range(turns):
        ours.append((own(many) - own(few)) / (2 * count))
        theirs.append(ort_seconds(engine, sample, 2 * count))
    return statistics.median(ours), statistics.median(theirs)


def latency(program, entry, turns, folder, threads, seconds=1.0):
    """Medians of the wall-clock seconds of one inference."""
    sample = entry.calibration(1)[0]
    engine = session(entry.path, threads)
    data = write_samples(folder / "data", [sample])
    for _ in range(3):
        engine.run(None, sample)
    ours, theirs = [], []
    for _ in range(turns):
        command = [
            program, "bench", entry.path, "--data", data, "--threads", threads, "--seconds", seconds, "--format", "json",
            "--quiet",
        ]
        process = subprocess.run([str(part) for part in command], capture_output=True, stdin=subprocess.DEVNULL)
        if process.returncode != 0:
            raise RuntimeError(process.stderr.decode(errors="replace")[-400:])
        ours.append(json.loads(process.stdout)["latency_ms"]["median"] / 1e3)
        times = []
        while sum(times) < seconds:
            started = time.perf_counter()
            engine.run(None, sample)
            times.append(time.perf_counter() - started)
        theirs.append(statistics.median(times))
    return statistics.median(ours), statistics.median(theirs)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--wall", action="store_true", help="latency by the clock instead of CPU time")
    parser.add_argument("--threads", type=int, default=1, help="with --wall")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--onnxq", type=pathlib.Path, default=ONNXQ)
    parser.add_argument("--at-least", type=float, default=0, help="exit 1 when the median ratio is below")
    options = parser.parse_args()
    report = Report("bench-float")
    onnxruntime.set_default_logger_severity(3)
    available = {entry.name: entry for entry in zoo.entries()}
    what = "user CPU milliseconds per inference, one thread"
    if options.wall:
        what = f"median milliseconds of latency, {options.threads} thread(s)"
    print(f"onnxruntime {onnxruntime.__version__}, numpy {numpy.__version__}; {what}")
    print("| model | onnxq | onnxruntime | onnxruntime / onnxq |\n|---|---|---|---|")
    ratios = []
    for name in options.models or MODELS:
        if name not in available:
            report.skip(name, "../shared/data is not there" if shared_data() is None else "no such model")
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                if options.wall:
                    ours, theirs = latency(
                        options.onnxq, available[name], options.turns, pathlib.Path(folder), options.threads
                    )
                else:
                    ours, theirs = compare(options.onnxq, available[name], options.turns, pathlib.Path(folder))
            except RuntimeError as error:
                report.check(name, False, error)
                continue
        ratios.append(theirs / ours)
        report.check(name, ours > 0, "no time was measured")
        print(f"| {name} | {ours * 1e3:.3f} | {theirs * 1e3:.3f} | {ratios[-1]:.2f} |", flush=True)
    if ratios:
        median = statistics.median(ratios)
        print(f"| median | | | {median:.2f} |")
        report.check("median", median >= options.at_least, f"{median:.2f} is below {options.at_least}")
    report.finish()


if __name__ == "__main__":
    sys.exit(main())
