"""The textual form, read back by the official `onnx.parser`: the golden texts, and what `onnxq inspect` prints of real models.

`inspect --full` of a model parses to the same graph: nodes, names, attributes, inputs and outputs, constants by value.
usage: text_form.py [MODEL...]
"""
import sys

import numpy
import onnx
import onnx.parser
from onnx import numpy_helper

import zoo
from support import REPOSITORY, Report, onnxq, shared_data

# Beyond this the text with all weights is too long to be of use.
LARGEST = 6 << 20


def same_tensor(first, second):
    """Texts are literals: the encoding of the elements may differ, their values not."""
    if first.data_type != second.data_type or list(first.dims) != list(second.dims):
        return False
    a, b = numpy_helper.to_array(first), numpy_helper.to_array(second)
    if a.dtype == object:
        return a.tolist() == b.tolist()
    return a.tobytes() == b.tobytes() or numpy.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def attribute_value(attribute):
    value = onnx.helper.get_attribute_value(attribute) if not attribute.ref_attr_name else attribute.ref_attr_name
    return value


def same_attribute(first, second, where):
    if first.name != second.name or first.type != second.type or first.ref_attr_name != second.ref_attr_name:
        return [f"{where}: attribute {first.name} became {second.name}"]
    a, b = attribute_value(first), attribute_value(second)
    if first.type == onnx.AttributeProto.TENSOR:
        return [] if same_tensor(a, b) else [f"{where}: tensor {first.name} differs"]
    if first.type == onnx.AttributeProto.GRAPH:
        return differences(a, b, f"{where}/{first.name}")
    return [] if a == b or str(a) == str(b) else [f"{where}: attribute {first.name} is {a}, in the text {b}"]


def differences(first, second, where):
    """What the text lost of the graph: names, nodes, attributes, constants."""
    result = []
    for kind in ("input", "output"):
        a, b = ([port.name for port in getattr(graph, kind)] for graph in (first, second))
        if a != b:
            result.append(f"{where}: {kind}s {a} became {b}")
    if len(first.node) != len(second.node):
        return result + [f"{where}: {len(first.node)} nodes became {len(second.node)}"]
    for a, b in zip(first.node, second.node):
        name = f"{where}: node {a.name or a.output[0]}"
        for key in ("op_type", "domain", "name", "input", "output"):
            if getattr(a, key) != getattr(b, key):
                result.append(f"{name}: {key} {getattr(a, key)} became {getattr(b, key)}")
        ours = {attribute.name: attribute for attribute in b.attribute}
        if set(ours) != {attribute.name for attribute in a.attribute}:
            result.append(f"{name}: other attributes")
            continue
        for attribute in a.attribute:
            result += same_attribute(attribute, ours[attribute.name], name)
    constants = {tensor.name: tensor for tensor in second.initializer}
    for tensor in first.initializer:
        if tensor.name not in constants or not same_tensor(tensor, constants[tensor.name]):
            result.append(f"{where}: constant {tensor.name} differs")
    return result


def parsed(report, name, text):
    try:
        return onnx.parser.parse_model(text)
    except Exception as error:  # the parser raises several types
        report.check(f"{name} is ONNX text", False, str(error)[:300])
        return None


def main():
    report = Report("textual form")
    if shared_data() is None:
        report.skip("shared models", "../shared/data is not there")
    goldens = sorted((REPOSITORY / "Tests" / "Goldens").glob("*.txt"))
    for path in goldens if len(sys.argv) == 1 else []:
        report.check(path.name, parsed(report, path.name, path.read_text()) is not None)
    report.line(f"  {len(goldens)} golden texts")
    for entry in zoo.entries(names=sys.argv[1:]):
        model = onnx.load(str(entry.path))
        full = entry.path.stat().st_size <= LARGEST
        for arguments in [[], ["--full"]] if full else [[]]:
            name = " ".join([entry.name, *arguments])
            outcome = onnxq("inspect", entry.path, *arguments)
            if not report.check(f"{name}: inspect", outcome.code == 0, outcome):
                continue
            again = parsed(report, name, outcome.stdout)
            if again is None:
                continue
            if arguments:
                found = differences(model.graph, again.graph, name)
                report.check(f"{name}: the text is the graph", not found, "; ".join(found[:3]))
            else:
                kinds = [[node.op_type for node in graph.node] for graph in (model.graph, again.graph)]
                report.check(f"{name}: the text has every node", kinds[0] == kinds[1])
            report.check(
                f"{name}: the operator sets",
                {(o.domain, o.version) for o in model.opset_import} == {(o.domain, o.version) for o in again.opset_import},
            )
    report.finish()


if __name__ == "__main__":
    main()
