"""Runs the C example on a model whose nodes and weights are known, and on broken files.

usage: check_libonnx.py PROGRAM...
"""
import pathlib
import subprocess
import sys
import tempfile

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper


def sample():
    weight = numpy_helper.from_array(numpy.arange(4096, dtype=numpy.float32).reshape(64, 64), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="multiply"), helper.make_node("Relu", ["y"], ["z"])],
        "sample",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", 64])],
        [weight],
    )
    return helper.make_model(graph).SerializeToString()


def run(program, path):
    return subprocess.run([program, path], capture_output=True, text=True, timeout=20)


def main():
    model = sample()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "good.onnx").write_bytes(model)
        (folder / "cut.onnx").write_bytes(model[: len(model) // 2])
        (folder / "empty-nodes.onnx").write_bytes(b"\x3a\x80\x80\x80\x08" + b"\x0a\x00" * (8 << 20))
        for program in sys.argv[1:]:
            program = str(pathlib.Path(program).resolve())
            good = run(program, folder / "good.onnx")
            expected = "MatMul multiply: x w -> y\nRelu : y -> z\n2 nodes, 16384 bytes of raw weights\n"
            assert (good.returncode, good.stdout) == (0, expected), good
            for name, text in (
                ("cut", "ends in the middle of a field"),
                ("empty-nodes", "would unpack to many times its size"),
                ("missing", "No such file"),
            ):
                bad = run(program, folder / f"{name}.onnx")
                assert bad.returncode == 3 and text in bad.stderr and not bad.stdout, (name, bad)
    count = len(sys.argv) - 1
    print(f"check_libonnx: {count} programs list the nodes and refuse broken files (onnx {onnx.__version__})")


if __name__ == "__main__":
    main()
