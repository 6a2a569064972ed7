"""Equal input gives equal bytes, on every model of the interop run and for every target.

Statistics with 1, 2 and 3 threads; insertion twice; insertion into its own output, which changes nothing.
usage: same_bytes.py [--samples N] [--targets T,...] [MODEL...]
"""
import argparse
import pathlib
import re
import shutil
import tempfile

import zoo
from support import Report, onnxq, shared_data, write_samples


def targets():
    """As `insert-qdq --help` lists them."""
    listed = re.search(r"The engine: ([\w\s,.-]+?)\. Default", onnxq("insert-qdq", "--help").stdout)
    return [name for name in re.split(r",\s*", " ".join(listed.group(1).split())) if re.fullmatch(r"[a-z0-9-]+", name)]


def one_model(report, entry, chosen, count, folder):
    # Models with external data write beside their source.
    for path in entry.path.parent.iterdir():
        if path.suffix in (".onnx", ".bin", ".data"):
            shutil.copy(path, folder)
    model = folder / entry.path.name
    data = write_samples(folder / "samples", entry.calibration(count))
    statistics = [folder / f"threads{number}.calib" for number in (1, 2, 3)]
    for number, path in enumerate(statistics, 1):
        outcome = onnxq("calibrate", model, "--data", data, "--threads", number, "-o", path)
        if not report.check(f"{entry.name}: calibrate with {number} threads", outcome.code == 0, outcome):
            return
    contents = [path.read_bytes() for path in statistics]
    report.check(f"{entry.name}: the same statistics for 1, 2 and 3 threads", len(set(contents)) == 1)
    for target in chosen:
        name = f"{entry.name} for {target}"
        # Onto the same path, so that everything the command sees is the same; then its own output as the model.
        first, again = folder / "out.qdq.onnx", folder / "again.qdq.onnx"
        results = []
        for _ in range(2):
            outcome = onnxq("insert-qdq", model, "-t", target, "--calibration", statistics[0], "-o", first)
            if not report.check(f"{name}: insert-qdq", outcome.code == 0, outcome):
                break
            results.append(first.read_bytes())
        if len(results) < 2:
            continue
        report.check(f"{name}: the same bytes twice", results[0] == results[1])
        outcome = onnxq("insert-qdq", first, "-t", target, "--calibration", statistics[0], "-o", again)
        if report.check(f"{name}: insertion into its own output", outcome.code == 0, outcome):
            report.check(f"{name}: that changes nothing", again.read_bytes() == results[0])
        first.unlink()
        again.unlink(missing_ok=True)
    report.line(f"  {entry.name}: {len(chosen)} targets")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=3)
    parser.add_argument("--targets")
    parser.add_argument("models", nargs="*")
    options = parser.parse_args()
    report = Report("same bytes")
    if shared_data() is None:
        report.skip("shared models", "../shared/data is not there")
    chosen = options.targets.split(",") if options.targets else targets()
    report.line(f"  targets: {', '.join(chosen)}")
    for entry in zoo.entries(names=options.models):
        with tempfile.TemporaryDirectory() as folder:
            one_model(report, entry, chosen, options.samples, pathlib.Path(folder))
    report.finish()


if __name__ == "__main__":
    main()
