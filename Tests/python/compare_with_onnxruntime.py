"""Runs every model with the float executor (`onnxq run`) and holds the outputs against onnxruntime without graph optimization.

Float models: the largest difference, as a share of the output's largest magnitude, stays within the model's tolerance.
Models that hold Q/DQ already: a rounding tie may fall the other way, so cosine and largest value are held instead.
usage: compare_with_onnxruntime.py [--samples N] [MODEL...]
"""
import argparse
import pathlib
import tempfile

import numpy

import metrics
import zoo
from engines import Engine
from support import Report, run_model, shared_data

QUANTIZED_COSINE = 0.9995


def compare(report, entry, samples, folder):
    engine = Engine(entry.path)
    worst, similarity, same = 0.0, 1.0, 0
    for sample in samples:
        expected = engine.run(sample)
        try:
            actual = run_model(entry.path, sample, folder)
        except RuntimeError as error:
            report.check(entry.name, False, error)
            return
        if not report.check(f"{entry.name}: output names", set(actual) == set(expected), sorted(actual)):
            return
        for name, value in expected.items():
            other = actual[name]
            if other.shape != value.shape or other.dtype != value.dtype:
                report.check(
                    f"{entry.name}: {name}", False,
                    f"{other.dtype} {other.shape}, onnxruntime gives {value.dtype} {value.shape}",
                )
                return
            worst = max(worst, metrics.relative_difference(value, other))
            similarity = min(similarity, metrics.cosine([value], [other]))
            same += int(value.argmax() == other.argmax())
    count = len(samples) * len(engine.outputs)
    text = f"{worst:.1e} of the largest output, cosine {similarity:.6f}, same largest value {same} of {count}"
    if entry.kind == "q":
        report.check(entry.name, similarity >= QUANTIZED_COSINE, f"{text}; cosine at least {QUANTIZED_COSINE}")
    else:
        report.check(entry.name, worst <= entry.tolerance, f"{text}; tolerance {entry.tolerance:.0e}")
    report.line(f"  {entry.name:28} {text}")


def compare_batch(report, entry, folder):
    """Models with a dynamic batch give for a batch what they give for its samples, to the bit."""
    samples = entry.evaluation(3)
    batch = {name: numpy.concatenate([sample[name] for sample in samples]) for name in samples[0]}
    try:
        together = run_model(entry.path, batch, folder)
        alone = [run_model(entry.path, sample, folder) for sample in samples]
    except RuntimeError as error:
        report.check(f"{entry.name}: batch of 3", False, error)
        return
    for name, value in together.items():
        stacked = numpy.concatenate([outputs[name] for outputs in alone])
        report.check(
            f"{entry.name}: batch of 3: {name}", numpy.array_equal(value, stacked),
            f"differs from the samples alone by {metrics.relative_difference(stacked, value):.1e}",
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=2)
    parser.add_argument("models", nargs="*")
    options = parser.parse_args()
    report = Report("float executor and onnxruntime")
    if shared_data() is None:
        report.skip("shared models", "../shared/data is not there")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for entry in zoo.entries(names=options.models):
            compare(report, entry, entry.evaluation(options.samples), folder / "run")
        for entry in zoo.entries(names=options.models):
            if entry.name in ("digits", "resnet20", "tiny-ic-resnet8", "minilm"):
                compare_batch(report, entry, folder / "batch")
    report.finish()


if __name__ == "__main__":
    main()
