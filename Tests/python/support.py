"""What the scripts of this folder share: where things are, running onnxq, counting checks."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
FIXTURES = REPOSITORY / "Fixtures"
DIGITS = FIXTURES / "digits"
CACHE = REPOSITORY / ".cache"
IN_CI = os.environ.get("CI") == "true"
ONNXQ = pathlib.Path(os.environ.get("ONNXQ") or REPOSITORY / ".build" / "release" / "onnxq").resolve()


def shared_data():
    """The folder of the large models and data: ONNXQ_DATA, else ../shared/data beside the checkout; None where absent."""
    path = pathlib.Path(os.environ.get("ONNXQ_DATA") or REPOSITORY.parent / "shared" / "data")
    return path if (path / "models").is_dir() else None


class Outcome:
    """How one run of onnxq ended."""

    def __init__(self, arguments, process, seconds):
        self.command = " ".join(["onnxq", *arguments])
        self.code = process.returncode
        self.stdout = process.stdout
        self.stderr = process.stderr
        self.seconds = seconds

    @property
    def json(self):
        return json.loads(self.stdout)

    @property
    def crashed(self):
        return self.code < 0 or self.code in (4, 132, 134, 136, 139)

    def __str__(self):
        ended = f"signal {signal.Signals(-self.code).name}" if self.code < 0 else f"exit {self.code}"
        text = f"{self.command}: {ended}"
        message = (self.stderr or self.stdout).strip()
        return f"{text}\n    " + "\n    ".join(message.splitlines()[-6:]) if message else text


class TimedOut(Exception):
    pass


def onnxq(*arguments, cwd=None, timeout=600):
    arguments = [str(argument) for argument in arguments]
    started = time.monotonic()
    try:
        process = subprocess.run(
            [str(ONNXQ), *arguments], cwd=cwd, capture_output=True, timeout=timeout, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise TimedOut(f"onnxq {' '.join(arguments)}: no end after {timeout} s") from None
    process.stdout = process.stdout.decode(errors="replace")
    process.stderr = process.stderr.decode(errors="replace")
    return Outcome(arguments, process, time.monotonic() - started)


def write_samples(folder, samples):
    """The samples as `onnxq --data` reads a folder: `.npy` for one input, `.npz` by input name for several."""
    import numpy

    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for index, sample in enumerate(samples):
        if len(sample) == 1:
            numpy.save(folder / f"{index:04d}.npy", next(iter(sample.values())))
        else:
            numpy.savez(folder / f"{index:04d}.npz", **sample)
    return folder


def run_model(model, sample, folder, *options):
    """Output name to array of one `onnxq run`; raises what onnxq said where it did not end with 0."""
    import numpy

    folder = pathlib.Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    numpy.savez(folder / "input.npz", **sample)
    outcome = onnxq(
        "run", model, "--input", folder / "input.npz", "--output-dir", folder / "out", "--format", "json", *options
    )
    if outcome.code != 0:
        raise RuntimeError(str(outcome))
    return {output["name"]: numpy.load(output["path"]) for output in outcome.json["outputs"]}


class Report:
    """Counts checks, prints the failing ones at once and the sum at the end."""

    def __init__(self, title):
        if not ONNXQ.is_file():
            sys.exit(f"{ONNXQ} is not built: run make")
        self.title = title
        self.passed = self.failed = self.skipped = 0

    def check(self, name, condition, detail=""):
        if condition:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED {name}" + (f": {detail}" if detail != "" else ""), flush=True)
        return bool(condition)

    def line(self, text):
        print(text, flush=True)

    def skip(self, name, reason):
        """A check that cannot run here; in CI that is a failure."""
        if IN_CI:
            self.check(name, False, f"{reason}; nothing is skipped in CI")
            return
        self.skipped += 1
        print(f"skipped {name}: {reason}", flush=True)

    def finish(self):
        print(f"{self.title}: {self.passed} passed, {self.failed} failed, {self.skipped} skipped", flush=True)
        sys.exit(1 if self.failed or self.passed == 0 else 0)
