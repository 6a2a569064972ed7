"""What `onnxq lint --target onnxruntime` predicts for each node, held against what onnxruntime does, node for node.

Every float model of the zoo is quantized by onnxq for several targets and by onnxruntime's own `quantize_static` in several
ways; models that hold Q/DQ already are taken as they are. The truth is the graph that onnxruntime writes after its extended
optimizations: a node runs in int8 where an integer kernel bears its name or computes its tensor.
usage: lint_prediction.py [--all] [--folder FOLDER] [MODEL...]
"""
import argparse
import collections
import logging
import pathlib
import tempfile

import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

import zoo
from support import Report, onnxq, shared_data, write_samples

TARGETS = ("onnxruntime", "integer", "tensorrt")
ALL_TARGETS = TARGETS + ("onnxruntime-avx2", "onnxruntime-arm64", "openvino", "qnn", "tensorrt-dla")
PEERS = {
    "quantize_static int8 per channel": {"per_channel": True},
    "quantize_static uint8": {"activation_type": QuantType.QUInt8},
    "quantize_static int8 symmetric": {"per_channel": True, "extra_options": {"ActivationSymmetric": True}},
}
MORE_PEERS = {
    "quantize_static int8": {},
    "quantize_static reduced": {"reduce_range": True, "extra_options": {"WeightSymmetric": False}},
}
PAIR = ("QuantizeLinear", "DequantizeLinear")
INTEGER_KERNELS = ("QGemm", "MatMulIntegerToFloat", "MatMulInteger", "ConvInteger", "DynamicQuantizeMatMul")
MOVEMENT = (
    "Expand", "Flatten", "Gather", "GatherElements", "Reshape", "Slice", "Squeeze", "Tile", "Transpose", "Unsqueeze",
    "Resize", "MaxPool", "ReduceMax", "ReduceMin", "Split", "Identity", "Concat",
)
INTEGER_TYPES = {
    onnx.TensorProto.INT8: "int8",
    onnx.TensorProto.UINT8: "int8",
    onnx.TensorProto.INT16: "int16",
    onnx.TensorProto.UINT16: "int16",
}


class Samples(CalibrationDataReader):
    def __init__(self, samples):
        self.rest = iter(samples)

    def get_next(self):
        return next(self.rest, None)


def name_nodes(source, path):
    """A copy in which every node has a name of its own."""
    model = onnx.load(str(source))
    seen = set()
    for index, node in enumerate(model.graph.node):
        if not node.name or node.name in seen:
            node.name = f"{node.op_type}_{index}_named"
        seen.add(node.name)
    onnx.save(model, str(path))
    return model


class Reality:
    """onnxruntime's own optimized graph."""

    def __init__(self, model, path):
        self.original_names = {node.name for node in model.graph.node}
        target = path.with_suffix(".optimized.onnx")
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(target)
        onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
        graph = onnx.load(str(target)).graph
        target.unlink()
        self.nodes = {node.name: node for node in graph.node}
        self.producers = {output: node for node in graph.node for output in node.output if output}
        self.types = {tensor.name: tensor.data_type for tensor in graph.initializer}
        for value in graph.input:
            self.types[value.name] = value.type.tensor_type.elem_type
        for node in graph.node:
            self.infer(node)
        self.sources = {output: node for node in model.graph.node for output in node.output if output}
        self.readers = collections.defaultdict(list)
        for node in model.graph.node:
            for value in node.input:
                self.readers[value].append(node)

    def infer(self, node):
        """Types as far as they decide: onnxruntime writes none of them for what it made."""
        kind = None
        if node.op_type == "QuantizeLinear":
            zero_point = node.input[2] if len(node.input) > 2 else ""
            kind = self.types.get(zero_point, onnx.TensorProto.UINT8)
        elif node.op_type.startswith("QLinear"):
            kind = onnx.TensorProto.UINT8
        elif node.op_type == "QGemm":
            kind = onnx.TensorProto.UINT8 if len(node.input) > 8 and node.input[8] else onnx.TensorProto.FLOAT
        elif node.op_type in MOVEMENT and node.input:
            kind = self.types.get(node.input[0])
        for output in node.output:
            if kind is not None:
                self.types[output] = kind

    def of_kernel(self, node):
        if node.op_type.startswith("QLinear") or node.op_type in INTEGER_KERNELS:
            return "int8"
        if node.op_type == "MatMulNBits":
            return "int4"
        if node.op_type in MOVEMENT and node.input:
            return INTEGER_TYPES.get(self.types.get(node.input[0]), "float")
        return "float"

    def made_of(self, node):
        """The node that onnxruntime made in the place of one: a Gemm of MatMul and Add, a Transpose with a new name."""
        if node.op_type == "MatMul":
            return self.nodes.get(f"{node.name}/MatMulAddFusion")
        if node.op_type == "Add":
            sources = [self.sources[value] for value in node.input if value in self.sources]
            return next((self.made_of(source) for source in sources if source.op_type == "MatMul"), None)
        if node.op_type == "Transpose":
            readers = list(self.readers[node.output[0]])
            while readers and readers[0].op_type in PAIR:
                readers = list(self.readers[readers[0].output[0]])
            for reader in readers:
                place = self.nodes.get(reader.name)
                source = self.producers.get(place.input[0]) if place is not None and place.input else None
                if source is not None and source.op_type == "Transpose" and source.name not in self.original_names:
                    return source
        return None

    def of(self, node):
        """`none` for a node that left no trace."""
        found = self.nodes.get(node.name) or self.made_of(node)
        if found is not None:
            return self.of_kernel(found)
        queue, seen = list(node.output), set()
        while queue:
            tensor = queue.pop(0)
            if tensor in seen:
                continue
            seen.add(tensor)
            if tensor in self.producers:
                return self.of_kernel(self.producers[tensor])
            for reader in self.readers[tensor]:
                if reader.op_type == "QuantizeLinear":
                    kernel = self.producers.get(reader.output[0])
                    if kernel is not None:
                        return self.of_kernel(kernel)
                if reader.name not in self.nodes:
                    queue += reader.output
        source = self.sources.get(node.input[0]) if node.op_type in ("Relu", "Clip") else None
        # An activation without a trace of its own is part of what computes its input.
        return self.of(source) if source is not None and source.op_type not in PAIR else "none"


def compare(report, name, source, folder, counts):
    path = folder / "named.onnx"
    model = name_nodes(source, path)
    try:
        reality = Reality(model, path)
    except Exception as error:  # onnxruntime raises several types
        report.line(f"  {name}: onnxruntime does not load it: {str(error)[:120]}")
        counts["refused"] += 1
        return
    outcome = onnxq("lint", path, "--target", "onnxruntime", "--format", "json", "--quiet")
    if not report.check(f"{name}: lint", outcome.code in (0, 1), outcome):
        return
    predicted = {node["name"]: node for node in outcome.json["nodes"]}
    wrong = []
    for node in model.graph.node:
        if node.op_type in PAIR:
            continue
        expected = reality.of(node)
        entry = predicted.get(node.name)
        got = entry["runs_in"] if entry else "missing"
        counts["nodes"] += 1
        counts[f"in {expected}"] += 1
        # What vanishes is in no arithmetic: a node folded or fused away with float ones may be called either.
        same = got == expected or {got, expected} == {"none", "float"}
        if not same:
            wrong.append(f"{node.op_type} {node.name}: {got}, really {expected} ({entry and entry['reason']})")
    counts["wrong"] += len(wrong)
    report.check(f"{name}: every node", not wrong, "; ".join(wrong[:4]) + (f" and {len(wrong) - 4} more" if len(wrong) > 4 else ""))


def quantized(entry, folder, report, targets=TARGETS, peers=PEERS):
    """Names and paths of quantized forms of a float model."""
    samples = entry.calibration(2 if entry.name in ("minilm", "yolox-nano") else 6)
    data = write_samples(folder / "data", samples)
    statistics = folder / "model.calib"
    outcome = onnxq("calibrate", entry.path, "--data", data, "-o", statistics)
    if report.check(f"{entry.name}: calibrate", outcome.code == 0, outcome):
        for target in targets:
            path = folder / f"{target}.onnx"
            outcome = onnxq("insert-qdq", entry.path, "--target", target, "--calibration", statistics, "-o", path)
            if report.check(f"{entry.name}: insert-qdq for {target}", outcome.code == 0, outcome):
                yield f"{entry.name} for {target}", path
    for name, options in peers.items():
        path = folder / f"{name.replace(' ', '-')}.onnx"
        try:
            quantize_static(str(entry.path), str(path), Samples(samples), quant_format=QuantFormat.QDQ, **options)
        except Exception as error:  # the quantizer fails on some models in its own ways
            report.line(f"  {entry.name}: {name} fails: {type(error).__name__}")
            continue
        yield f"{entry.name} by {name}", path


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=pathlib.Path, help="judge the Q/DQ models of this folder instead")
    parser.add_argument("--all", action="store_true", help="every target, and quantize_static in more ways")
    parser.add_argument("models", nargs="*")
    options = parser.parse_args()
    targets, peers = (ALL_TARGETS, PEERS | MORE_PEERS) if options.all else (TARGETS, PEERS)
    logging.disable(logging.WARNING)
    onnxruntime.set_default_logger_severity(4)
    report = Report("lint and onnxruntime")
    counts = collections.Counter()
    if options.folder:
        for path in sorted(options.folder.glob("*.onnx")):
            with tempfile.TemporaryDirectory() as folder:
                compare(report, path.stem, path, pathlib.Path(folder), counts)
    elif shared_data() is None:
        report.skip("shared models", "../shared/data is not there")
    else:
        for entry in zoo.entries(names=options.models):
            with tempfile.TemporaryDirectory() as folder:
                folder = pathlib.Path(folder)
                if entry.kind == "q":
                    compare(report, entry.name, entry.path, folder, counts)
                    continue
                for name, path in quantized(entry, folder, report, targets, peers):
                    compare(report, name, path, folder, counts)
    report.line("  " + ", ".join(f"{count} {name}" for name, count in sorted(counts.items())))
    report.finish()


if __name__ == "__main__":
    main()
