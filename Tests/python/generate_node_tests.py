"""Writes the node tests of the installed onnx package as folders, as its backend test data is laid out:

FOLDER/node/NAME/model.onnx, FOLDER/node/NAME/test_data_set_N/{input,output}_M.pb, and FOLDER/index.csv with
name, operators, opset, rtol, atol, expanded. A folder that is complete for this version of the package is left as it is.

usage: generate_node_tests.py FOLDER
"""
import csv
import pathlib
import shutil
import sys

import numpy
import onnx
from onnx import TensorProto, numpy_helper
from onnx.backend.test.case.node import collect_testcases

COLUMNS = ["name", "operators", "opset", "rtol", "atol", "expanded"]


def encode(value, info):
    kind = info.type.WhichOneof("value")
    if isinstance(value, TensorProto):
        return value
    if kind == "map_type":
        return numpy_helper.from_dict(value, info.name)
    if kind == "sequence_type":
        return numpy_helper.from_list(value, info.name)
    if kind == "optional_type":
        return numpy_helper.from_optional(value, info.name)
    return numpy_helper.from_array(numpy.asarray(value), info.name)


def write_case(case, folder):
    folder.mkdir(parents=True)
    graph = case.model.graph
    (folder / "model.onnx").write_bytes(case.model.SerializeToString())
    for number, (inputs, outputs) in enumerate(case.data_sets):
        data = folder / f"test_data_set_{number}"
        data.mkdir()
        for role, values, infos in (("input", inputs, graph.input), ("output", outputs, graph.output)):
            for position, (value, info) in enumerate(zip(values, infos, strict=False)):
                (data / f"{role}_{position}.pb").write_bytes(encode(value, info).SerializeToString())


def row(case):
    opset = max((entry.version for entry in case.model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    operators = sorted({f"{node.domain}.{node.op_type}".lstrip(".") for node in case.model.graph.node})
    return [case.name, "+".join(operators), opset, case.rtol, case.atol, int("_expanded" in case.name)]


def generate(folder):
    folder = pathlib.Path(folder)
    stamp = folder / "version"
    version = f"{onnx.__version__} 1\n"
    if stamp.exists() and stamp.read_text() == version:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    rows = []
    for case in collect_testcases():
        write_case(case, folder / "node" / case.name)
        rows.append(row(case))
    with open(folder / "index.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(sorted(rows))
    stamp.write_text(version)
    print(f"{len(rows)} node tests of onnx {onnx.__version__} in {folder}")
    return folder


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    generate(sys.argv[1])
