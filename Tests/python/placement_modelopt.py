"""Where `insert-qdq --target tensorrt` and nvidia-modelopt put Q/DQ, node for node.

A node's placement is the set of its operands that come from a DequantizeLinear. The page docs/placement-modelopt.md
explains the differences; this prints them. modelopt wants an environment of its own, whose interpreter is given:
usage: placement_modelopt.py --python INTERPRETER [MODEL...]     (pip install nvidia-modelopt[onnx] pillow)
"""
import argparse
import collections
import pathlib
import subprocess
import tempfile

import numpy
import onnx

import zoo
from lint_prediction import name_nodes
from support import Report, onnxq, shared_data, write_samples

PAIR = ("QuantizeLinear", "DequantizeLinear")
QUANTIZE = """
import sys, numpy
from modelopt.onnx.quantization import quantize
source, data, result = sys.argv[1:]
quantize(source, quantize_mode="int8", calibration_data=dict(numpy.load(data)), calibration_method="max",
         calibration_eps=["cpu"], output_path=result, log_level="ERROR")
"""


def placement(path):
    """Node name to operator and the operands behind DQ; a DQ behind layout operators counts."""
    graph = onnx.load(str(path)).graph
    producers = {value: node for node in graph.node for value in node.output}
    result = {}
    for node in graph.node:
        if node.op_type in PAIR:
            continue
        operands = set()
        for index, value in enumerate(node.input):
            source = producers.get(value)
            if source is not None and source.op_type == "DequantizeLinear":
                operands.add(index)
        result[node.name] = (node.op_type, operands)
    return result


def compare(report, entry, interpreter, folder, kinds):
    samples = entry.calibration(2)
    source = folder / "float.onnx"
    name_nodes(entry.path, source)
    statistics, ours, theirs = folder / "model.calib", folder / "ours.onnx", folder / "theirs.onnx"
    outcome = onnxq("calibrate", source, "--data", write_samples(folder / "data", samples), "-o", statistics)
    if not report.check(f"{entry.name}: calibrate", outcome.code == 0, outcome):
        return
    outcome = onnxq(
        "insert-qdq", source, "--target", "tensorrt", "--calibration", statistics, "--missing-data", "float",
        "--rescue", "none", "-o", ours,
    )
    if not report.check(f"{entry.name}: insert-qdq", outcome.code == 0, outcome):
        return
    first = samples[0]
    data = {
        key: numpy.concatenate([sample[key] for sample in samples]) if first[key].ndim else first[key] for key in first
    }
    numpy.savez(folder / "data.npz", **data)
    process = subprocess.run(
        [interpreter, "-c", QUANTIZE, str(source), str(folder / "data.npz"), str(theirs)], capture_output=True, text=True
    )
    if not theirs.is_file():
        lines = process.stderr.strip().splitlines() or ["no message"]
        report.line(f"  {entry.name}: modelopt fails: {lines[-1][:120]}")
        return
    mine, other = placement(ours), placement(theirs)
    shared = [name for name in mine if name in other]
    different = [name for name in shared if mine[name][1] - {2} != other[name][1] - {2}]
    report.check(f"{entry.name}: nodes in common", shared)
    report.line(f"  {entry.name:20} {len(shared)} nodes in both, {len(different)} placed differently")
    for name in different:
        kind = (mine[name][0], tuple(sorted(mine[name][1] - {2})), tuple(sorted(other[name][1] - {2})))
        kinds[kind].append(f"{entry.name} {name}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True, help="an interpreter that has modelopt")
    parser.add_argument("models", nargs="*")
    options = parser.parse_args()
    report = Report("placement beside modelopt")
    if shared_data() is None:
        report.skip("shared models", "../shared/data is not there")
    kinds = collections.defaultdict(list)
    for entry in zoo.entries(kinds=("main", "run"), names=options.models):
        with tempfile.TemporaryDirectory() as folder:
            compare(report, entry, options.python, pathlib.Path(folder), kinds)
    report.line("operator, operands behind DQ in ours, in modelopt's: how many, where")
    for kind, places in sorted(kinds.items(), key=lambda item: -len(item[1])):
        report.line(f"  {kind[0]:20} {kind[1]!s:10} {kind[2]!s:10} {len(places):4}  {places[0]}")
    report.finish()


if __name__ == "__main__":
    main()
