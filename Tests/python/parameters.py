"""Every kind of grid from the command line and from a target file: what is written, that it is valid, and how near to float it runs.

usage: parameters.py
"""
import collections
import pathlib
import tempfile

import onnx

import metrics
import zoo
from engines import Engine
from support import Report, onnxq, run_model, write_samples

# target, --activations, --weights, the types of activations and weights that must be there, least SQNR in dB, runs in onnxruntime
CASES = [
    ("onnxruntime", "uint8", None, "UINT8", "INT8", 25, True),
    ("onnxruntime", "int8,asymmetric", None, "INT8", "INT8", 25, True),
    ("onnxruntime", "uint8,symmetric", "uint8,asymmetric", "UINT8", "UINT8", 20, True),
    ("onnxruntime", "uint8", "int8,per-tensor,reduce-range", "UINT8", "INT8", 20, True),
    ("onnxruntime", "uint8,reduce-range", None, "UINT8", "INT8", 20, True),
    ("onnxruntime", "uint8,power-of-two", "int8,power-of-two", "UINT8", "INT8", 20, True),
    ("tensorrt", "int8", "int4,block=16", "INT8", "INT4", 8, True),
    ("tensorrt", "int8", "uint4,asymmetric", "INT8", "UINT4", 8, True),
    ("tensorrt", "int8", "int2", "INT8", "INT2", -3, False),
    ("tensorrt", "int16", "int16", "INT16", "INT16", 35, True),
    ("qnn", "uint16", None, "UINT16", "INT8", 25, True),
    ("tensorrt", "float8e4m3fn", None, "FLOAT8E4M3FN", "FLOAT8E4M3FN", 20, True),
    ("tensorrt", "float8e4m3fn,power-of-two", "float8e4m3fn", "FLOAT8E4M3FN", "FLOAT8E4M3FN", 20, True),
    ("tensorrt", "float8e4m3fn", "float8e5m2", "FLOAT8E4M3FN", "FLOAT8E5M2", 15, True),
]


def types(model):
    """Element types of the codes of activations and of weights (no biases)."""
    constants = {item.name: item.data_type for item in model.graph.initializer}
    name = onnx.TensorProto.DataType.Name
    activations, weights = collections.Counter(), collections.Counter()
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear":
            activations[name(constants[node.input[2]])] += 1
        elif node.op_type == "DequantizeLinear" and node.input[0] in constants:
            kind = name(constants[node.input[0]])
            if kind != "INT32":
                weights[kind] += 1
    return activations, weights


def judge(report, label, entry, path, wanted, least, runs_there, folder):
    model = onnx.load(str(path))
    try:
        onnx.checker.check_model(model, full_check=True)
        report.check(f"{label}: valid", True)
    except Exception as error:  # the checker raises several types
        report.check(f"{label}: valid", False, str(error)[:300])
    activations, weights = types(model)
    report.check(f"{label}: activations", set(activations) == {wanted[0]}, dict(activations))
    # Constants between quantized activations have the type of those.
    report.check(f"{label}: weights", wanted[1] in weights and set(weights) <= set(wanted), dict(weights))
    samples = entry.evaluation(8)
    engine = Engine(entry.path)
    expected = [list(engine.run(sample).values())[0] for sample in samples]
    ours = [list(run_model(path, sample, folder / "run").values())[0] for sample in samples]
    ratio = metrics.sqnr_db(expected, ours)
    report.check(f"{label}: near float", ratio >= least, f"{ratio:.1f} dB, at least {least}")
    if runs_there:
        theirs = [list(Engine(path).run(sample).values())[0] for sample in samples]
        ratio = metrics.sqnr_db(ours, theirs)
        report.check(f"{label}: as in onnxruntime", ratio >= 30, f"{ratio:.1f} dB")


def main():
    report = Report("parameters")
    (entry,) = zoo.entries(names=["digits"])
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        data = write_samples(folder / "data", entry.calibration(50))
        outcome = onnxq("calibrate", entry.path, "--data", data, "-o", folder / "m.calib")
        report.check("calibrate", outcome.code == 0, outcome)
        for number, (target, activations, weights, *wanted, least, runs_there) in enumerate(CASES):
            label = f"{target} {activations} {weights or ''}".strip()
            path = folder / f"{number}.onnx"
            more = ["--weights", weights] if weights else []
            arguments = ["-t", target, "--calibration", folder / "m.calib", "--activations", activations, *more]
            outcome = onnxq("insert-qdq", entry.path, *arguments, "-o", path)
            if not report.check(label, outcome.code == 0, outcome):
                continue
            judge(report, label, entry, path, wanted, least, runs_there, folder)
            again = onnxq("insert-qdq", path, *arguments, "-o", folder / "again.onnx", "--force")
            same = again.code == 0 and (folder / "again.onnx").read_bytes() == path.read_bytes()
            report.check(f"{label}: a second time", same, again)
        file = folder / "own.yaml"
        file.write_text(
            "extends: tensorrt\nactivations: {type: float8e4m3fn}\nweights: {type: float8e4m3fn, per-channel: false}\n"
        )
        outcome = onnxq(
            "insert-qdq", entry.path, "-t", file, "--calibration", folder / "m.calib", "-o", folder / "own.onnx"
        )
        if report.check("target file", outcome.code == 0, outcome):
            judge(report, "target file", entry, folder / "own.onnx", ["FLOAT8E4M3FN"] * 2, 20, True, folder)
        for bad in ("int9", "int8,assymetric", "int4", "block=4"):
            outcome = onnxq("insert-qdq", entry.path, "--calibration", folder / "m.calib", "--activations", bad, "--dry-run")
            report.check(f"'{bad}' is refused", outcome.code == 2 and bad.split(",")[-1] in outcome.stderr, outcome)
    report.finish()


if __name__ == "__main__":
    main()
