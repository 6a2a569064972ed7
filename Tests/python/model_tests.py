"""The model tests that the onnx package carries (simple, pytorch-converted, pytorch-operator, light) through `onnxq test`.

The light models come without inputs: those are what the package's own runner generates for them.
usage: model_tests.py
"""
import argparse
import json
import pathlib
import shutil
import tempfile

import onnx
import onnx.backend.test
import onnx.backend.test.runner
import onnx.numpy_helper

from support import Report, onnxq

DATA = pathlib.Path(onnx.backend.test.__file__).parent / "data"
# The training preview domain differentiates graphs; executors for inference have no use for it.
OUT_OF_SCOPE = {"test_gradient_of_add", "test_gradient_of_add_and_mul"}


def light_cases(folder):
    """Each light model as a folder with a test data set."""
    dummy = onnx.backend.test.runner.Runner.generate_dummy_data
    for description in sorted((DATA / "real").glob("*/data.json")):
        settings = json.loads(description.read_text())
        source = DATA / "light" / pathlib.Path(settings["url"]).name
        case = folder / description.parent.name
        data = case / "test_data_set_0"
        data.mkdir(parents=True)
        shutil.copy(source, case / "model.onnx")
        graph = onnx.load(str(source)).graph
        constants = {tensor.name for tensor in graph.initializer}
        inputs = [port for port in graph.input if port.name not in constants]
        for number, port in enumerate(inputs):
            value = dummy(port, seed=0, name=settings["model_name"], random=False)
            (data / f"input_{number}.pb").write_bytes(onnx.numpy_helper.from_array(value).SerializeToString())
        for number in range(len(graph.output)):
            shutil.copy(source.with_name(f"{source.stem}_output_{number}.pb"), data / f"output_{number}.pb")
    return folder


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    report = Report("model tests of the onnx package")
    with tempfile.TemporaryDirectory() as folder:
        suites = [DATA / name for name in ("simple", "pytorch-converted", "pytorch-operator")]
        for suite in [*suites, light_cases(pathlib.Path(folder))]:
            outcome = onnxq("test", suite, "--rtol", "0.001", "--atol", "1e-7", "--format", "json")
            if not report.check(f"{suite.name}: onnxq test", outcome.code in (0, 1), outcome):
                continue
            for case in outcome.json["cases"]:
                name = case["name"].rsplit("/", 1)[-1]
                if name in OUT_OF_SCOPE:
                    report.check(name, case["status"] != "passed", "passes, but is listed as out of scope")
                else:
                    report.check(name, case["status"] == "passed", f"{case['status']}: {case.get('reason')}")
    report.finish()


if __name__ == "__main__":
    main()
