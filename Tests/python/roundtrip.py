"""Every model that the onnx package ships or generates: loaded and saved by onnxq, read by the package as equal.

The saving is done by the Swift test `resaveForComparison`; COMMAND runs it (the folders are in its environment). The
tensors of the test data sets make the same round trip and are compared as arrays.
usage: roundtrip.py COMMAND...
"""
import collections
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy
import onnx
from onnx import TensorProto, numpy_helper
from support import CACHE

from generate_node_tests import generate

SHIPPED = pathlib.Path(onnx.__file__).parent


def collect(folder):
    """Copies the models, and the values of their first data set, to one flat folder."""
    names = []
    for root in (SHIPPED, generate(CACHE / "node-suite") / "node"):
        for path in sorted(root.rglob("*.onnx")):
            name = re.sub(r"[^\w.]", "__", str(path.relative_to(root)))
            (folder / name).write_bytes(path.read_bytes())
            names.append(name)
            for value in sorted(path.parent.glob("test_data_set_0/*.pb")):
                (folder / f"{name}.{value.name}").write_bytes(value.read_bytes())
    return names


def same_array(first, second):
    a, b = numpy_helper.to_array(first), numpy_helper.to_array(second)
    if a.dtype == object:
        return a.shape == b.shape and [str(x) for x in a.flat] == [str(x) for x in b.flat]
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def main():
    with tempfile.TemporaryDirectory() as top:
        source, target = pathlib.Path(top, "source"), pathlib.Path(top, "target")
        source.mkdir()
        target.mkdir()
        names = collect(source)
        environment = dict(os.environ, ONNXQ_RESAVE_FROM=str(source), ONNXQ_RESAVE_TO=str(target))
        run = subprocess.run(sys.argv[1:], env=environment, capture_output=True, text=True, timeout=900)
        if run.returncode != 0:
            sys.exit("\n".join((run.stdout + run.stderr).splitlines()[-40:]))
        counts = collections.Counter()
        failures = []
        for name in names:
            if not (target / name).exists():
                failures.append(f"{name}: not saved")
                continue
            before, after = (source / name).read_bytes(), (target / name).read_bytes()
            if onnx.load_model_from_string(before) != onnx.load_model_from_string(after):
                failures.append(f"{name}: not equal")
            counts["models"] += 1
            counts["byte for byte"] += before == after
        for path in sorted(target.glob("*.pb")):
            first = TensorProto.FromString((source / path.name).read_bytes())
            second = TensorProto.FromString(path.read_bytes())
            if not same_array(first, second):
                failures.append(f"{path.name}: the array differs")
            counts["tensors"] += 1
    for failure in failures:
        print(failure)
    print(f"roundtrip: {dict(counts)}, {len(failures)} failures (onnx {onnx.__version__})")
    if failures or counts["models"] < 1500 or counts["tensors"] < 3000:
        sys.exit(1)


if __name__ == "__main__":
    main()
