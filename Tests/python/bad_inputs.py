"""Broken input through the built binary: exit 3 with one clear line and nothing written; mutations: exit 0 or 3 and no crash.

usage: bad_inputs.py [--mutations N] [--seed N]
"""
import argparse
import os
import pathlib
import random
import shutil
import tempfile
import time

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

from support import DIGITS, FIXTURES, Report, TimedOut, onnxq

MODELS = {
    "digits": DIGITS / "digits.onnx",
    "resnet8-qdq": FIXTURES / "models" / "tiny-ic-resnet8-qdq" / "resnet8_qdq.onnx",
    "mnist-8": FIXTURES / "models" / "mnist-8" / "mnist.onnx",
}
JPEG = bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffdb004300") + bytes(range(64)) * 8 + bytes.fromhex("ffd9")
SECONDS = 60


def listing(folder):
    return {path.relative_to(folder): (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*")}


def one_line(text):
    return len(text.strip().splitlines()) == 1 and 10 < len(text.strip()) < 500


def refused(report, name, folder, *arguments):
    """The command ends with 3, says why in one line on standard error, and leaves the folder as it was."""
    before = listing(folder)
    try:
        outcome = onnxq(*arguments, cwd=folder, timeout=SECONDS)
    except TimedOut as error:
        report.check(name, False, error)
        return
    report.check(f"{name}: exit 3", outcome.code == 3, outcome)
    report.check(f"{name}: one clear line", one_line(outcome.stderr), outcome)
    report.check(f"{name}: nothing on standard output", outcome.stdout == "", outcome.stdout[:200])
    report.check(f"{name}: nothing written", listing(folder) == before, sorted(set(listing(folder)) - set(before)))


def truncations(report, folder):
    whole = (DIGITS / "digits.onnx").read_bytes()
    model = folder / "cut.onnx"
    for percent in range(1, 100):
        model.write_bytes(whole[: len(whole) * percent // 100])
        refused(report, f"digits.onnx cut at {percent} %", folder, "calibrate", model, "--data", DIGITS / "calibration")
    for percent in range(5, 100, 10):
        model.write_bytes(whole[: len(whole) * percent // 100])
        for verb in (["insert-qdq", model], ["inspect", model], ["verify", model]):
            refused(report, f"{verb[0]} of a model cut at {percent} %", folder, *verb)
    model.unlink()


def cut_statistics(report, folder):
    shutil.copy(DIGITS / "digits.onnx", folder / "digits.onnx")
    outcome = onnxq("calibrate", "digits.onnx", "--data", DIGITS / "calibration", cwd=folder)
    if not report.check("calibrate", outcome.code == 0, outcome):
        return
    whole = (folder / "digits.calib").read_bytes()
    for percent in range(0, 100, 3):
        (folder / "digits.calib").write_bytes(whole[: len(whole) * percent // 100])
        refused(report, f"statistics cut at {percent} %", folder, "insert-qdq", "digits.onnx")
    generator = random.Random(5)
    for _ in range(20):
        mutated = bytearray(whole)
        mutated[generator.randrange(len(mutated))] ^= 1 << generator.randrange(8)
        (folder / "digits.calib").write_bytes(mutated)
        outcome = onnxq("insert-qdq", "digits.onnx", "-o", folder / "out.qdq.onnx", cwd=folder, timeout=SECONDS)
        # The note of where the data came from is outside the hashed content.
        report.check("statistics with one bit changed: exit 0 or 3", outcome.code in (0, 3), outcome)
        report.check("nothing written unless 0", outcome.code == 0 or not (folder / "out.qdq.onnx").exists())
        (folder / "out.qdq.onnx").unlink(missing_ok=True)


def wrong_files(report, folder):
    (folder / "empty.onnx").write_bytes(b"")
    (folder / "picture.onnx").write_bytes(JPEG)
    (folder / "text.onnx").write_text("this is not a model\n" * 20)
    (folder / "folder.onnx").mkdir()
    for name in ("empty", "picture", "text", "folder"):
        for verb in (["calibrate", f"{name}.onnx", "--data", DIGITS / "calibration"], ["insert-qdq", f"{name}.onnx"]):
            refused(report, f"{verb[0]} of {name}.onnx", folder, *verb)


def wrong_data(report, folder):
    shutil.copy(DIGITS / "digits.onnx", folder / "digits.onnx")
    good = numpy.load(DIGITS / "calibration" / "000.npy")

    def data(name, write):
        (folder / name).mkdir()
        write(folder / name)
        refused(report, name, folder, "calibrate", "digits.onnx", "--data", name)

    data("folder without data", lambda path: None)
    data("folder with text only", lambda path: (path / "notes.txt").write_text("nothing here\n"))
    data("wrong shape", lambda path: numpy.save(path / "a.npy", numpy.zeros((1, 3, 8, 8), numpy.float32)))
    data("wrong rank", lambda path: numpy.save(path / "a.npy", numpy.zeros((5, 5, 5), numpy.float32)))
    data("wrong type", lambda path: numpy.save(path / "a.npy", good.astype(numpy.complex64)))
    data("wrong names in npz", lambda path: numpy.savez(path / "a.npz", other=good, another=good))

    def cut(path):
        numpy.save(path / "a.npy", good)
        whole = (path / "a.npy").read_bytes()
        (path / "a.npy").write_bytes(whole[:-40])

    def lying_header(path):
        numpy.save(path / "a.npy", good)
        whole = (path / "a.npy").read_bytes()
        (path / "a.npy").write_bytes(whole.replace(b"(1, 1, 8, 8)", b"(9, 9, 9, 9)"))

    def huge_header(path):
        numpy.save(path / "a.npy", good)
        whole = (path / "a.npy").read_bytes()
        (path / "a.npy").write_bytes(whole.replace(b"(1, 1, 8, 8), }" + b" " * 14, b"(65536,65536,65536,65536), }" + b" "))

    def cut_archive(path):
        numpy.savez(path / "a.npz", image=good)
        whole = (path / "a.npz").read_bytes()
        (path / "a.npz").write_bytes(whole[: len(whole) // 2])

    data("cut npy", cut)
    data("npy whose header says more than it holds", lying_header)
    data("npy of 2^64 elements", huge_header)
    data("cut npz", cut_archive)
    data("empty npy", lambda path: (path / "a.npy").write_bytes(b""))

    # Statistics count what is not a number; ranges are not made of them.
    (folder / "not-a-number").mkdir()
    numpy.save(folder / "not-a-number" / "a.npy", numpy.full_like(good, numpy.nan))
    refused(report, "not a number", folder, "insert-qdq", "digits.onnx", "--data", "not-a-number")


def enormous_tensors(report, folder):
    """Sizes that a few bytes of model ask for: refused before memory is."""
    scalar = numpy.array
    cases = {
        "ConstantOfShape": (["s"], {"s": [1 << 20, 1 << 20]}),
        "Expand": (["x", "s"], {"s": [1 << 30, 1 << 10, 4]}),
        "Tile": (["x", "s"], {"s": [1 << 40, 1]}),
        "Pad": (["x", "s"], {"s": [0, 1 << 40, 0, 0]}),
        "Range": (["a", "b", "c"], {"a": scalar(0), "b": scalar(1 << 60), "c": scalar(1)}),
    }
    numpy.save(folder / "x.npy", numpy.ones((1, 4), numpy.float32))
    for operator, (inputs, values) in cases.items():
        constants = [numpy_helper.from_array(numpy.asarray(v, numpy.int64), k) for k, v in values.items()]
        nodes = [helper.make_node(operator, inputs, ["y"])]
        graph = helper.make_graph(
            nodes, operator, [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
            [helper.make_tensor_value_info("y", TensorProto.INT64 if operator == "Range" else TensorProto.FLOAT, None)],
            constants,
        )
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(folder / "m.onnx"))
        refused(report, f"{operator} of terabytes", folder, "calibrate", "m.onnx", "--data", "x.npy")
        refused(report, f"{operator} of terabytes", folder, "run", "m.onnx", "--input", "x.npy", "--output-dir", "out")


def mutate(generator, whole):
    """One to eight changes: a byte replaced, a bit flipped, a run overwritten, removed or doubled."""
    data = bytearray(whole)
    for _ in range(generator.randint(1, 8)):
        position = generator.randrange(len(data))
        length = generator.randint(1, 16)
        kind = generator.randrange(5)
        if kind == 0:
            data[position] = generator.randrange(256)
        elif kind == 1:
            data[position] ^= 1 << generator.randrange(8)
        elif kind == 2:
            data[position : position + length] = generator.randbytes(min(length, len(data) - position))
        elif kind == 3 and len(data) > 64:
            del data[position : position + length]
        else:
            data[position:position] = data[position : position + length]
    return bytes(data)


def mutations(report, folder, count, seed):
    """Mutated models through calibrate, insert-qdq and inspect in turn."""
    generator = random.Random(seed)
    codes = {}
    started = time.monotonic()
    shutil.copytree(DIGITS / "calibration", folder / "digits-data")
    os.mkdir(folder / "out")
    sources = {name: path.read_bytes() for name, path in MODELS.items()}
    for number in range(count):
        name = list(sources)[number % len(sources)]
        model = folder / "mutated.onnx"
        model.write_bytes(mutate(generator, sources[name]))
        verb = [
            ["calibrate", model, "--data", folder / "digits-data", "--limit", "2", "-o", folder / "out" / "m.calib"],
            ["insert-qdq", model, "--data", folder / "digits-data", "--limit", "2", "-o", folder / "out" / "m.qdq.onnx"],
            ["inspect", model],
        ][number // len(sources) % 3]
        label = f"mutation {number} of {name} (seed {seed}), {verb[0]}"
        try:
            outcome = onnxq(*verb, cwd=folder, timeout=SECONDS)
        except TimedOut as error:
            report.check(label, False, error)
            continue
        codes[outcome.code] = codes.get(outcome.code, 0) + 1
        written = list((folder / "out").iterdir())
        good = outcome.code in (0, 3)
        report.check(f"{label}: exit 0 or 3", good, outcome)
        report.check(f"{label}: nothing written unless 0", outcome.code == 0 or not written, [p.name for p in written])
        if not good:
            kept = pathlib.Path(tempfile.gettempdir()) / f"onnxq-mutation-{seed}-{number}.onnx"
            shutil.copy(model, kept)
            report.line(f"  kept {kept}")
        for path in written:
            path.unlink()
    report.line(f"  {count} mutations in {time.monotonic() - started:.0f} s, exit codes {dict(sorted(codes.items()))}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutations", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    report = Report("bad input")
    for test in (wrong_files, wrong_data, enormous_tensors, truncations, cut_statistics):
        with tempfile.TemporaryDirectory() as folder:
            test(report, pathlib.Path(folder))
        report.line(f"  {test.__name__} done")
    with tempfile.TemporaryDirectory() as folder:
        mutations(report, pathlib.Path(folder), options.mutations, options.seed)
    report.finish()


if __name__ == "__main__":
    main()
