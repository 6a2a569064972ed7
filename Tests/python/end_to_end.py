"""The command line on the digits networks: the three commands, what they write, exit codes, and that equal input gives equal bytes.

usage: end_to_end.py [TEST...]
"""
import hashlib
import pathlib
import shutil
import sys
import tempfile

import numpy
import onnx
from onnx import numpy_helper

import read_engine
from support import DIGITS, FIXTURES, Report, onnxq

QAT = FIXTURES / "digits-qat"
TARGETS = ["tensorrt", "onnxruntime", "integer"]


def digest(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def workspace(folder, *names, source=DIGITS):
    """Copies of the named files of a fixture; the sample folders as links."""
    for name in names:
        shutil.copy(source / name, folder / name)
    for name in ("calibration", "test"):
        (folder / name).symlink_to(DIGITS / name)
    shutil.copy(DIGITS / "labels.txt", folder)
    return folder


TARGET_FILE = """\
extends: onnxruntime
activations: {type: int8, symmetric: true, power-of-two: true}
weights: {per-channel: false, power-of-two: true}
weighted: [Conv]
"""
BROKEN_TARGETS = {
    "extends: nowhere\n": ":1:",
    "activations: {type: int8}\n": "'extends' is missing",
    "extends: onnxruntime\nactivation: {type: int8}\n": ":2:",
    "extends: onnxruntime\nactivations:\n  type: int5\n": ":3:",
    "extends: onnxruntime\nweighted: [Conv, Softmax]\n": "'Softmax'",
    "extends: [\n": "",
}


def target_files(report, folder):
    """A target of one's own decides the grids; what its file has wrong is named with its line."""
    workspace(folder, "digits.onnx")
    outcome = onnxq("calibrate", "digits.onnx", "--data", "calibration", cwd=folder)
    if not report.check("calibrate", outcome.code == 0, outcome):
        return
    (folder / "npu.yaml").write_text(TARGET_FILE)
    outcome = onnxq("insert-qdq", "digits.onnx", "--target", "npu.yaml", "--format", "json", cwd=folder)
    if report.check("insert-qdq for a target file", outcome.code == 0, outcome):
        document = outcome.json
        report.check("target file: name", document["target"] == "npu", document["target"])
        kinds = {node["op_type"] for node in document["outcomes"] if node["quantized"]}
        report.check("target file: Gemm stays float", "Conv" in kinds and not kinds & {"Gemm", "MatMul"}, kinds)
        for decision in document["decisions"]:
            if decision.get("element_type") != "int8":
                continue
            exact = all(numpy.frexp(scale)[0] == 0.5 for scale in decision["scale"])
            symmetric = not any(decision["zero_point"]) and len(decision["scale"]) == 1
            report.check(f"target file: grid of {decision['tensor']}", exact and symmetric, decision)
        onnx.checker.check_model(str(folder / "digits.qdq.onnx"), full_check=True)
    (folder / "digits.qdq.onnx").unlink(missing_ok=True)
    for text, message in BROKEN_TARGETS.items():
        (folder / "broken.yaml").write_text(text)
        outcome = onnxq("insert-qdq", "digits.onnx", "--target", "broken.yaml", cwd=folder)
        said = outcome.code in (2, 3) and "broken.yaml" in outcome.stderr and message in outcome.stderr
        report.check(f"target file {text!r} is refused", said and not (folder / "digits.qdq.onnx").exists(), outcome)


def explanations(report, folder):
    """--explain says each change once."""
    workspace(folder, "digits.onnx")
    outcome = onnxq(
        "insert-qdq", "digits.onnx", "--target", "onnxruntime", "--data", "calibration", "--explain", "--dry-run", cwd=folder
    )
    if report.check("insert-qdq --explain", outcome.code == 0, outcome):
        subjects = [line.split(":")[0] for line in outcome.stdout.splitlines() if line.startswith("tensor ")]
        twice = {subject for subject in subjects if subjects.count(subject) > 1}
        report.check("--explain names each tensor once", subjects and not twice, twice)


def main_job(report, folder):
    """calibrate, insert-qdq, verify by name; their JSON; accuracy; PyTorch's outputs as the reference."""
    workspace(folder, "digits.onnx", "reference.npy")
    before = digest(folder / "digits.onnx")
    outcome = onnxq("calibrate", "digits.onnx", "--data", "calibration", "--format", "json", cwd=folder)
    if not report.check("calibrate", outcome.code == 0, outcome):
        return
    report.check("calibrate writes digits.calib", (folder / "digits.calib").is_file())
    document = outcome.json
    report.check("calibrate: schema", document.get("schema") == "onnxq.calibrate/1", document.get("schema"))
    report.check("calibrate: samples", document["samples"] == 128, document["samples"])
    report.check("calibrate: none skipped", document["skipped"] == [], document["skipped"])
    for key in ("tensors", "seconds", "cpu_seconds", "peak_bytes", "statistics_sha256"):
        report.check(f"calibrate: {key}", key in document)

    outcome = onnxq("insert-qdq", "digits.onnx", "--format", "json", cwd=folder)
    if not report.check("insert-qdq", outcome.code == 0, outcome):
        return
    document = outcome.json
    report.check("insert-qdq: schema", document.get("schema") == "onnxq.insert-qdq/1", document.get("schema"))
    report.check("insert-qdq: target", document["target"] == "tensorrt", document["target"])
    report.check("insert-qdq: every decision has rule and reason", all(d["rule"] and d["reason"] for d in document["decisions"]))
    model = onnx.load(folder / "digits.qdq.onnx")
    inserted = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    report.check("insert-qdq: pairs counted", document["pairs"] >= len(inserted) > 0, (document["pairs"], len(inserted)))
    report.check("BatchNormalization is folded", all(node.op_type != "BatchNormalization" for node in model.graph.node))
    report.check("the source model is untouched", digest(folder / "digits.onnx") == before)

    outcome = onnxq(
        "verify", "digits.onnx", "digits.qdq.onnx", "--data", "test", "--labels", "labels.txt", "--reference",
        "reference.npy", "--format", "json", cwd=folder,
    )
    if not report.check("verify", outcome.code == 0, outcome):
        return
    document = outcome.json
    report.check("verify: schema", document.get("schema") == "onnxq.verify/1", document.get("schema"))
    report.check("verify: verdict", document["verdict"] == "pass" and document["failures"] == [], document["failures"])
    report.check("verify: samples", document["samples"] == 450, document["samples"])
    report.check("float accuracy is PyTorch's", abs(document["top1"]["float"] - 447 / 4.5) < 1e-3, document["top1"])
    for pair in ("fake_quant", "integer"):
        drop = document["top1"]["float"] - document["top1"][pair]
        report.check(f"{pair} accuracy within 0.5 points", drop <= 0.5, document["top1"])
        report.check(f"{pair} agreement", document["agreement"][pair] >= 99, document["agreement"])
    pairs = {output["pair"]: output for output in document["outputs"]}
    for pair in ("float/fake-quant", "float/integer", "reference/float"):
        report.check(f"verify: pair {pair}", pair in pairs, sorted(pairs))
    if "reference/float" in pairs:
        difference = pairs["reference/float"]["max_abs"]
        report.check("float executor against PyTorch", difference <= 2e-5, difference)
    report.check("MACs run in integers", 0.9 <= document["macs"]["share"] <= 1, document["macs"])
    report.check("verify: tensors, worst first", len(document["tensors"]) > 3)

    outcome = onnxq(
        "verify", "digits.onnx", "digits.qdq.onnx", "--data", "test", "--min-sqnr", "300", "--format", "json", cwd=folder
    )
    report.check("a threshold that cannot hold: exit 1", outcome.code == 1, outcome)
    if outcome.code == 1:
        document = outcome.json
        report.check("JSON is complete with exit 1", document["verdict"] == "fail" and document["failures"], document["verdict"])


def no_arguments(report, folder):
    """In a folder with one model the three commands need no model argument, and verify no data."""
    workspace(folder, "digits.onnx")
    for arguments in (["calibrate", "--data", "calibration"], ["insert-qdq"], ["verify"]):
        outcome = onnxq(*arguments, cwd=folder)
        report.check(f"{' '.join(arguments)} without a model", outcome.code == 0, outcome)
    shutil.copy(QAT / "digits_qat.onnx", folder)
    outcome = onnxq("insert-qdq", cwd=folder)
    report.check(
        "two candidates: an error that lists them",
        outcome.code in (2, 3) and "digits.onnx" in outcome.stderr and "digits_qat.onnx" in outcome.stderr, outcome,
    )


def same_bytes(report, folder):
    """Statistics for any thread count, insertion twice, insertion into its own output."""
    workspace(folder, "digits.onnx")
    seen = {}
    for threads in (1, 2, 3):
        outcome = onnxq(
            "calibrate", "digits.onnx", "--data", "calibration", "--threads", threads, "-o", f"threads{threads}.calib",
            cwd=folder,
        )
        if not report.check(f"calibrate with {threads} threads", outcome.code == 0, outcome):
            return
        seen[threads] = digest(folder / f"threads{threads}.calib")
    report.check("statistics are the same bytes for 1, 2 and 3 threads", len(set(seen.values())) == 1, seen)
    statistics = folder / "threads1.calib"
    for target in TARGETS:
        outputs = []
        for attempt in ("first", "second"):
            outputs.append(folder / f"{attempt}.{target}.qdq.onnx")
            outcome = onnxq(
                "insert-qdq", "digits.onnx", "--target", target, "--calibration", statistics, "-o", outputs[-1], cwd=folder
            )
            if not report.check(f"insert-qdq for {target}", outcome.code == 0, outcome):
                return
        report.check(f"insertion for {target} gives the same bytes twice", digest(outputs[0]) == digest(outputs[1]))
        again = folder / f"again.{target}.onnx"
        outcome = onnxq(
            "insert-qdq", outputs[0], "--target", target, "--calibration", statistics, "-o", again, cwd=folder
        )
        if report.check(f"insertion for {target} into its own output", outcome.code == 0, outcome):
            report.check(f"a second insertion for {target} changes nothing", digest(again) == digest(outputs[0]))
    outcome = onnxq(
        "insert-qdq", "digits.onnx", "--calibration", statistics, "-o", "-", "--quiet", cwd=folder
    )
    report.check("-o - fails or writes the model alone", outcome.code == 0, outcome)


def shards(report, folder):
    """Shards take every sample once."""
    workspace(folder, "digits.onnx")
    samples = 0
    for part in (1, 2, 3):
        outcome = onnxq(
            "calibrate", "digits.onnx", "--data", "calibration", "--shard", f"{part}/3", "-o", f"part{part}.calib",
            "--format", "json", cwd=folder,
        )
        if not report.check(f"shard {part}/3", outcome.code == 0, outcome):
            return
        samples += outcome.json["samples"]
    report.check("the shards have every sample once", samples == 128, samples)


def constants(model):
    """Name to array of every constant: initializers and Constant nodes."""
    result = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            result[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return result


def activation_scales(path):
    """Scale of each quantized activation, by the name of what is quantized."""
    model = onnx.load(path)
    values = constants(model)
    return {
        node.input[0]: values[node.input[1]].item()
        for node in model.graph.node
        if node.op_type == "QuantizeLinear" and node.input[0] not in values
    }


def quantization_aware(report, folder):
    """A QAT export keeps its trained scales, and what it left open is completed."""
    workspace(folder, "digits_qat.onnx", "reference.npy", source=QAT)
    trained = activation_scales(folder / "digits_qat.onnx")
    outcome = onnxq("insert-qdq", "digits_qat.onnx", "--data", "calibration", cwd=folder)
    if not report.check("insert-qdq on the QAT export", outcome.code == 0, outcome):
        return
    completed = activation_scales(folder / "digits_qat.qdq.onnx")
    kept = {name: scale for name, scale in trained.items() if completed.get(name) == scale}
    report.check("every trained scale is kept", kept == trained, sorted(set(trained) - set(kept)))
    report.check("the residual branch is completed", len(completed) > len(trained), (len(trained), len(completed)))
    outcome = onnxq(
        "verify", "digits_qat.onnx", "digits_qat.qdq.onnx", "--data", "test", "--labels", "labels.txt", "--format", "json",
        cwd=folder,
    )
    if report.check("verify on the QAT export", outcome.code == 0, outcome):
        top1 = outcome.json["top1"]
        report.check("QAT accuracy within 0.5 points", top1["float"] - top1["integer"] <= 0.5, top1)


def engines(report, folder):
    """build, run, inspect, verify of an engine; a second reader; what is refused."""
    workspace(folder, "digits.onnx")
    onnxq("calibrate", "digits.onnx", "--data", "calibration", cwd=folder)
    for target in TARGETS:
        model, engine = f"{target}.qdq.onnx", f"{target}.engine"
        onnxq("insert-qdq", "digits.onnx", "--target", target, "-o", model, cwd=folder)
        outcome = onnxq("build", model, "--format", "json", cwd=folder)
        if not report.check(f"build for {target}", outcome.code == 0, outcome):
            return
        report.check("build: schema", outcome.json["schema"] == "onnxq.build/1", outcome.json["schema"])
        report.check(f"build writes {engine}", (folder / engine).stat().st_size == outcome.json["bytes"])
        outcome = onnxq("verify", "digits.onnx", model, engine, "--data", "test", "--limit", "50", "--format", "json", cwd=folder)
        same = outcome.code == 0 and outcome.json["engine"]["differing"] == 0
        report.check(f"verify: the engine for {target} is the model", same, outcome)
        for name, source, extra in (("engine", engine, []), ("model", model, ["--executor", "integer"])):
            outcome = onnxq("run", source, "--input", "test/006.npy", "--output-dir", f"{target}-{name}", *extra, cwd=folder)
            report.check(f"run of the {name}", outcome.code == 0, outcome)
        report.check(
            f"run: the same bytes from engine and model for {target}",
            digest(folder / f"{target}-engine/scores.npy") == digest(folder / f"{target}-model/scores.npy"))
        try:
            shown = onnxq("inspect", engine, "--check", "--format", "json", cwd=folder)
            steps = read_engine.compare(read_engine.Engine(folder / engine), shown.json)
            report.check(f"a second reader reads {engine}", steps > 5, steps)
        except (AssertionError, KeyError, ValueError) as error:
            report.check(f"a second reader reads {engine}", False, repr(error))
    outcome = onnxq("build", "tensorrt.qdq.onnx", "--integer-only", "-o", "refused.engine", cwd=folder)
    report.check("--integer-only refuses float islands: exit 3", outcome.code == 3 and "stays float" in outcome.stderr, outcome)
    report.check("and writes nothing", not (folder / "refused.engine").exists())
    outcome = onnxq("build", "digits.onnx", cwd=folder)
    report.check("a float model is no engine: exit 3", outcome.code == 3, outcome)
    outcome = onnxq("run", "integer.engine", "--input", "test/006.npy", "--executor", "float", cwd=folder)
    report.check("the float executor runs no engine: exit 2", outcome.code == 2, outcome)
    damaged = bytearray((folder / "integer.engine").read_bytes())
    damaged[-100] ^= 1
    (folder / "damaged.engine").write_bytes(damaged)
    outcome = onnxq("inspect", "damaged.engine", "--check", "--format", "json", cwd=folder)
    report.check("changed content: exit 1", outcome.code == 1 and outcome.json["changed"] == ["data"], outcome)
    (folder / "damaged.engine").write_bytes(damaged[:-100])
    outcome = onnxq("run", "damaged.engine", "--input", "test/006.npy", cwd=folder)
    report.check("an engine cut off: exit 3", outcome.code == 3, outcome)
    (folder / "other.engine").write_text("somebody's notes\n")
    outcome = onnxq("build", "integer.qdq.onnx", "-o", "other.engine", cwd=folder)
    kept = (folder / "other.engine").read_text() == "somebody's notes\n"
    report.check("build leaves a file of somebody else alone", outcome.code in (2, 3) and kept, outcome)


def benchmarks(report, folder):
    """bench: its keys, in milliseconds, for a model and its engine."""
    workspace(folder, "digits.onnx")
    onnxq("calibrate", "digits.onnx", "--data", "calibration", cwd=folder)
    onnxq("insert-qdq", "digits.onnx", cwd=folder)
    onnxq("build", "digits.qdq.onnx", cwd=folder)
    for source, executor, options in (
            ("digits.onnx", "float", ["--batch", "3"]), ("digits.qdq.onnx", "integer", ["--executor", "integer"]),
            ("digits.engine", "integer", ["--shapes", "image=2x1x8x8"]), ("digits.engine", "integer", ["--data", "test"])):
        outcome = onnxq("bench", source, "--seconds", "0.2", "--threads", "1", "--format", "json", *options, cwd=folder)
        if not report.check(f"bench {source}", outcome.code == 0, outcome):
            continue
        document = outcome.json
        latency = document["latency_ms"]
        report.check("bench: schema", document["schema"] == "onnxq.bench/1")
        report.check("bench: executor and threads", (document["executor"], document["threads"]) == (executor, 1), document)
        report.check("bench: batch", document["batch"] == (3 if "--batch" in options else 2 if "--shapes" in options else 1), document)
        report.check("bench: latency", 0 < latency["p10"] <= latency["median"] <= latency["p90"] and latency["runs"] > 3, latency)
        seconds = document["batch"] * latency["runs"] / document["throughput_per_s"]
        report.check("bench: throughput is of the time asked for", 0.19 < seconds < 2, document)
        report.check("bench: the rest", all(document[key] > 0 for key in ("peak_bytes", "load_ms", "first_run_ms")), document)
    outcome = onnxq("bench", "digits.onnx", "--shapes", "picture=1x1x8x8", cwd=folder)
    report.check("bench: an unknown input: exit 2", outcome.code == 2 and "image" in outcome.stderr, outcome)


def refusals(report, folder):
    """Exit codes of the contract, and files that onnxq did not write stay."""
    workspace(folder, "digits.onnx")
    report.check("unknown option: exit 2", onnxq("calibrate", "digits.onnx", "--no-such-option").code == 2)
    report.check("unknown verb: exit 2", onnxq("no-such-verb").code == 2)
    outcome = onnxq("insert-qdq", "digits.onnx", "--target", "no-such-target", cwd=folder)
    report.check("unknown target: exit 2 or 3", outcome.code in (2, 3), outcome)
    outcome = onnxq("insert-qdq", "digits.onnx", cwd=folder)
    named = "--calibration" in outcome.stderr and "--data" in outcome.stderr or "calibrate" in outcome.stderr
    report.check("missing statistics: exit 3 with the ways to get them", outcome.code == 3 and named, outcome)
    outcome = onnxq("calibrate", "absent.onnx", "--data", "calibration", cwd=folder)
    report.check("missing model: exit 3", outcome.code == 3, outcome)
    outcome = onnxq("calibrate", "digits.onnx", "--data", "absent", cwd=folder)
    report.check("missing data: exit 3", outcome.code == 3, outcome)
    report.check("nothing was written", {path.name for path in folder.iterdir()} == {
        "digits.onnx", "labels.txt", "calibration", "test"}, sorted(path.name for path in folder.iterdir()))
    (folder / "digits.calib").write_text("somebody's notes\n")
    outcome = onnxq("calibrate", "digits.onnx", "--data", "calibration", cwd=folder)
    kept = (folder / "digits.calib").read_text() == "somebody's notes\n"
    report.check("a file of somebody else is not overwritten", outcome.code in (2, 3) and kept, outcome)
    outcome = onnxq("calibrate", "digits.onnx", "--data", "calibration", "--force", cwd=folder)
    report.check("--force overwrites it", outcome.code == 0, outcome)
    outcome = onnxq("calibrate", "digits.onnx", "--data", "calibration", cwd=folder)
    report.check("its own file is overwritten without --force", outcome.code == 0, outcome)
    older = bytearray((folder / "digits.calib").read_bytes())
    older[8:12] = (1).to_bytes(4, "little")
    (folder / "digits.calib").write_bytes(older)
    outcome = onnxq("calibrate", "digits.onnx", "--data", "calibration", cwd=folder)
    report.check("and so is one of an older version", outcome.code == 0, outcome)


def help_texts(report, folder):
    report.check("--version", (lambda o: o.code == 0 and o.stdout.strip())(onnxq("--version")))
    for verb in ("calibrate", "insert-qdq", "verify", "build", "run", "bench", "test", "inspect"):
        outcome = onnxq(verb, "--help")
        report.check(f"{verb} --help", outcome.code == 0 and f"onnxq {verb}" in outcome.stdout, outcome)


TESTS = [
    main_job, target_files, explanations, no_arguments, same_bytes, shards, quantization_aware, engines, benchmarks, refusals,
    help_texts,
]


def main():
    report = Report("end to end")
    chosen = [test for test in TESTS if len(sys.argv) == 1 or test.__name__ in sys.argv[1:]]
    for test in chosen:
        with tempfile.TemporaryDirectory() as folder:
            try:
                test(report, pathlib.Path(folder))
            except Exception as error:
                report.check(test.__name__, False, f"{type(error).__name__}: {error}")
        report.line(f"  {test.__name__} done")
    report.finish()


if __name__ == "__main__":
    main()
