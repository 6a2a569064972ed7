"""Writes the node tests of the installed onnx package as folders, as its backend test data is laid out:

FOLDER/node/NAME/model.onnx, FOLDER/node/NAME/test_data_set_N/{input,output}_M.pb, and FOLDER/index.csv with
name, operators, opset, rtol, atol, expanded; FOLDER/types.txt: for every value of every case that onnx.shape_inference (strict, with
data propagation) gives a type, case, value and type, tab between them, and the type that the case declares where it is an output.
A folder that is complete for this version of the package is left as it is.

usage: generate_node_tests.py FOLDER
"""
import csv
import pathlib
import shutil
import sys

import numpy
import onnx
import onnx.shape_inference
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


def type_text(proto):
    """As in ONNX's textual syntax; "" for what it has no word for."""
    kind = proto.WhichOneof("value")
    if kind == "tensor_type":
        name = TensorProto.DataType.Name(proto.tensor_type.elem_type).lower()
        if not proto.tensor_type.HasField("shape"):
            return f"{name}[]"
        extents = [str(dim.dim_value) if dim.HasField("dim_value") else "?" for dim in proto.tensor_type.shape.dim]
        return f"{name}[{','.join(extents)}]" if extents else name
    if kind in ("sequence_type", "optional_type"):
        return f"{kind.removesuffix('_type').replace('sequence', 'seq')}({type_text(getattr(proto, kind).elem_type)})"
    return ""


def inferred_types(case):
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    declared = {port.name: type_text(port.type) for port in model.graph.output}
    # Without their declarations outputs are inferred like any other value.
    del model.graph.output[:]
    del model.graph.value_info[:]
    try:
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except Exception:  # operators without inference raise several types
        return []
    inputs = {port.name for port in model.graph.input}
    return [
        "\t".join([case.name, info.name, type_text(info.type), declared.get(info.name, "")])
        for info in model.graph.value_info
        if info.name not in inputs and type_text(info.type)
    ]


def generate(folder):
    folder = pathlib.Path(folder)
    stamp = folder / "version"
    version = f"{onnx.__version__} 2\n"
    if stamp.exists() and stamp.read_text() == version:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    rows, types = [], []
    for case in collect_testcases():
        write_case(case, folder / "node" / case.name)
        rows.append(row(case))
        types += inferred_types(case)
    with open(folder / "index.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(sorted(rows))
    (folder / "types.txt").write_text("".join(f"{line}\n" for line in types))
    stamp.write_text(version)
    print(f"{len(rows)} node tests of onnx {onnx.__version__} in {folder}")
    return folder


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    generate(sys.argv[1])
