"""Whatever ends a run from outside: a kill at any moment, a full disk, a folder that is not to be written, a closed stream.

After a kill the output is the old file or the new one, with its data file where it has one; after a refusal the exit code is
3 with one line, and the folder is as it was.
usage: crashes.py [--kills N]
"""
import argparse
import os
import pathlib
import random
import shutil
import signal
import subprocess
import tempfile
import time

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

from support import DIGITS, ONNXQ, Report, onnxq

WIDTH = 1600


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def large_model(folder):
    """A network of products with some 40 MB of weights in a data file: writing it takes long enough to be killed in."""
    generator = numpy.random.default_rng(3)
    nodes, weights, name = [], [], "x"
    for layer in range(4):
        weight = generator.standard_normal((WIDTH, WIDTH), dtype=numpy.float32) / 40
        weights.append(numpy_helper.from_array(weight, f"w{layer}"))
        nodes.append(helper.make_node("MatMul", [name, f"w{layer}"], [f"y{layer}"], name=f"product{layer}"))
        name = f"y{layer}"
    graph = helper.make_graph(
        nodes, "large", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, WIDTH])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, WIDTH])], weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(folder / "m.onnx"), save_as_external_data=True, location="m.bin")
    (folder / "data").mkdir()
    numpy.save(folder / "data" / "0.npy", generator.standard_normal((1, WIDTH), dtype=numpy.float32))


def killed(arguments, folder, seconds, number):
    """Runs onnxq, sends the signal after so many seconds; whether it was still running."""
    process = subprocess.Popen(
        [str(ONNXQ), *map(str, arguments)], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        process.wait(seconds)
        return False
    except subprocess.TimeoutExpired:
        process.send_signal(number)
        process.wait(60)
        return process.returncode == -number


def kills(report, folder, count):
    """Each command over an old output, killed at random moments of its run."""
    large_model(folder)
    generator = random.Random(11)
    base = onnxq("calibrate", "m.onnx", "--data", "data", cwd=folder)
    if not report.check("calibrate", base.code == 0, base):
        return
    jobs = {
        "calibrate": (["calibrate", "m.onnx", "--data", "data", "-o", "out.calib"], folder / "out.calib"),
        "insert-qdq": (["insert-qdq", "m.onnx", "-o", "out.qdq.onnx", "-t", "tensorrt"], folder / "out.qdq.onnx"),
    }
    # Statistics of other data, and insertion for another target, are the old files.
    (folder / "other").mkdir()
    numpy.save(folder / "other" / "0.npy", numpy.ones((1, WIDTH), numpy.float32))
    older = {
        "calibrate": ["calibrate", "m.onnx", "--data", "other", "-o", "out.calib"],
        "insert-qdq": ["insert-qdq", "m.onnx", "-o", "out.qdq.onnx", "-t", "onnxruntime"],
    }
    for verb, (arguments, output) in jobs.items():
        outcome = onnxq(*older[verb], cwd=folder)
        if not report.check(f"{verb}: the old file", outcome.code == 0, outcome):
            continue
        old = output.read_bytes()
        outcome = onnxq(*arguments, cwd=folder)
        if not report.check(f"{verb}: the new file", outcome.code == 0, outcome):
            continue
        new, seconds = output.read_bytes(), outcome.seconds
        report.check(f"{verb}: old and new differ", old != new)
        others = set(tree(folder)) - {output.name}
        ends = {"old": 0, "new": 0}
        hits = between = 0
        for number in range(count):
            output.write_bytes(old)
            how = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)[number % 3]
            hits += killed(arguments, folder, generator.uniform(0, seconds * 1.05), how)
            found = output.read_bytes() if output.exists() else None
            which = "old" if found == old else "new" if found == new else None
            report.check(f"{verb} ended by {how.name}: the old file or the new one", which is not None)
            if which:
                ends[which] += 1
            left = set(tree(folder)) - others - {output.name}
            # The complete new file has a name beside the output for the time of a rename, and a kill in it leaves that.
            renaming = which == "old" and len(left) == 1 and (folder / min(left)).read_bytes() == new
            report.check(f"{verb} ended by {how.name}: nothing else is left", not left or renaming, sorted(left))
            between += renaming
            for name in left:
                (folder / name).unlink()
        report.check(f"{verb}: hardly ever between naming and renaming", between <= 1 + count // 50, between)
        report.check(f"{verb}: some runs were ended", hits >= count // 4, hits)
        report.line(f"  {verb}: {count} runs of {seconds:.2f} s, {hits} ended in the middle, the output after them: {ends}")
        output.write_bytes(old)
        report.check(f"{verb}: the next run is good", onnxq(*arguments, cwd=folder).code == 0 and output.read_bytes() == new)


def refused(report, name, outcome, folder, before):
    report.check(f"{name}: exit 3", outcome.code == 3, outcome)
    report.check(f"{name}: one line", len(outcome.stderr.strip().splitlines()) == 1, outcome)
    report.check(f"{name}: nothing written", tree(folder) == before, sorted(set(tree(folder)) ^ set(before)))


def full_disk(report, folder):
    """Files limited to a few kilobytes, as a disk that has no more; standard output on /dev/full."""
    shutil.copy(DIGITS / "digits.onnx", folder)
    outcome = onnxq("calibrate", "digits.onnx", "--data", DIGITS / "calibration", cwd=folder)
    report.check("calibrate", outcome.code == 0, outcome)
    before = tree(folder)
    full = f'exec "{ONNXQ}" '
    for name, command in {
        "inspect": "inspect digits.onnx",
        "inspect in JSON": "inspect digits.onnx --format json",
        "ranges": "ranges digits.calib",
        "insert-qdq": "insert-qdq digits.onnx --dry-run",
        "insert-qdq to standard output": "insert-qdq digits.onnx -o -",
        "help": "--help",
    }.items():
        run = subprocess.run(["sh", "-c", f"{full}{command} >/dev/full"], cwd=folder, capture_output=True, text=True)
        report.check(f"{name} to a full standard output: exit 3", run.returncode == 3, (run.returncode, run.stderr))
        report.check(f"{name} to a full standard output: one line", len(run.stderr.splitlines()) == 1, run.stderr)
        run = subprocess.run(["sh", "-c", f"{full}{command} >&-"], cwd=folder, capture_output=True, text=True)
        report.check(f"{name} without a standard output: exit 3", run.returncode == 3, (run.returncode, run.stderr))
    report.check("nothing written", tree(folder) == before)
    for name, command in {
        "calibrate": f'calibrate digits.onnx --data "{DIGITS / "calibration"}"',
        "insert-qdq": "insert-qdq digits.onnx",
        "run": f'run digits.onnx --data "{DIGITS / "test"}" --output-dir out',
    }.items():
        script = f'ulimit -f 4; trap "" XFSZ; {full}{command}'
        run = subprocess.run(["sh", "-c", script], cwd=folder, capture_output=True, text=True)
        report.check(f"{name} on a full disk: exit 3", run.returncode == 3, (run.returncode, run.stderr))
        report.check(f"{name} on a full disk: one line", len(run.stderr.splitlines()) == 1, run.stderr)
        report.check(f"{name} on a full disk: nothing written", tree(folder) == before, sorted(set(tree(folder)) ^ set(before)))


def streams(report, folder):
    """A reader that leaves early, and standard streams that are closed: their numbers must not become those of files."""
    shutil.copy(DIGITS / "digits.onnx", folder)
    process = subprocess.Popen(
        [str(ONNXQ), "inspect", "digits.onnx", "--full"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.read(10)
    process.stdout.close()
    message = process.stderr.read()
    process.stderr.close()
    report.check("a reader that leaves early ends the run quietly", process.wait(60) in (-signal.SIGPIPE, 0, 3), process.returncode)
    report.check("and says no more than a line", len(message.splitlines()) <= 1, message)
    command = f'exec "{ONNXQ}" calibrate digits.onnx --data "{DIGITS / "calibration"}" -o a.calib'
    for closed in ("0<&- 2>&-", "0<&-", "2>&-"):
        run = subprocess.run(["sh", "-c", f"{command} {closed}"], cwd=folder, capture_output=True)
        report.check(f"calibrate {closed}: exit 0", run.returncode == 0, run)
        outcome = onnxq("inspect", "a.calib", cwd=folder)
        report.check(f"calibrate {closed}: the file is whole", outcome.code == 0, outcome)


def permissions(report, folder):
    """A folder that is not to be written, and files that are not to be read: as another user where this is root."""
    work = folder / "work"
    work.mkdir()
    shutil.copy(DIGITS / "digits.onnx", work)
    onnxq("calibrate", "digits.onnx", "--data", DIGITS / "calibration", cwd=work)
    secret = work / "secret.onnx"
    shutil.copy(DIGITS / "digits.onnx", secret)
    data = folder / "data"
    shutil.copytree(DIGITS / "calibration", data)
    program = folder / "onnxq"
    shutil.copy(ONNXQ, program)
    os.chmod(folder, 0o755)
    before = tree(work)
    os.chmod(work, 0o555)
    os.chmod(secret, 0)
    user = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    for name, arguments in {
        "calibrate into a read-only folder": ["calibrate", "digits.onnx", "--data", data, "-o", "new.calib"],
        "insert-qdq into a read-only folder": ["insert-qdq", "digits.onnx"],
        "a model that is not to be read": ["insert-qdq", "secret.onnx", "-o", "-"],
    }.items():
        run = subprocess.run(
            [str(program), *map(str, arguments)], cwd=work, capture_output=True, text=True, timeout=60, **user
        )
        report.check(f"{name}: exit 3", run.returncode == 3, (run.returncode, run.stderr))
        report.check(f"{name}: one line that says why", run.stderr.count("\n") == 1 and "denied" in run.stderr, run.stderr)
    os.chmod(work, 0o755)
    os.chmod(secret, 0o644)
    report.check("nothing written", tree(work) == before)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    options = parser.parse_args()
    report = Report("ended from outside")
    started = time.monotonic()
    for test in (full_disk, streams, permissions):
        with tempfile.TemporaryDirectory() as folder:
            test(report, pathlib.Path(folder))
        report.line(f"  {test.__name__} done")
    with tempfile.TemporaryDirectory() as folder:
        kills(report, pathlib.Path(folder), options.kills)
    report.line(f"  {time.monotonic() - started:.0f} s")
    report.finish()


if __name__ == "__main__":
    main()
