"""Runs the whole node suite of the onnx package through `onnxq test` and holds the result against known_node_failures.txt.

Fails when a case that is not listed there fails, when a listed one passes (the list must then become shorter), and when
docs/conformance.md is not what this run gives.
usage: conformance.py [--record] [--executor float|integer]
--record rewrites the list and the table from this run and exits with 1, so that a recording never passes for a test.
"""
import argparse
import collections
import csv
import re
import sys
import warnings

from support import CACHE, REPOSITORY, Report, onnxq

KNOWN = REPOSITORY / "Tests" / "python" / "known_node_failures.txt"
TABLE = REPOSITORY / "docs" / "conformance.md"
# Of the 1884 cases of onnx 1.23.2, measured once.
PEERS = "onnxruntime 1.32: 1589, `onnx.reference`: 1870"


def suite():
    warnings.simplefilter("ignore")
    from generate_node_tests import generate

    folder = generate(CACHE / "node-suite")
    with open(folder / "index.csv", newline="") as file:
        return folder, {row["name"]: row for row in csv.DictReader(file)}


def known():
    """The list, one "name: reason" a line, as `onnxq test --known` reads it too."""
    lines = KNOWN.read_text().splitlines() if KNOWN.exists() else []
    return dict(line.split(": ", 1) for line in lines if not line.startswith("#"))


def run(folder, index, executor):
    """Case name to (status, reason), each group of equal tolerances in one run of `onnxq test`."""
    groups = collections.defaultdict(list)
    for name, row in index.items():
        groups[row["rtol"], row["atol"]].append(name)
    results = {}
    for (rtol, atol), names in sorted(groups.items()):
        folders = [folder / "node"] if len(groups) == 1 else [folder / "node" / name for name in names]
        options = ["--executor", executor] if executor != "float" else []
        outcome = onnxq("test", *folders, *options, "--rtol", rtol, "--atol", atol, "--format", "json", timeout=1500)
        if outcome.code not in (0, 1):
            sys.exit(str(outcome))
        for case in outcome.json["cases"]:
            results[case["name"].rsplit("/", 1)[-1]] = case["status"], case.get("reason") or ""
    return results


def operator(name, index):
    """The operator that a case is about: an expanded function counts for the function."""
    base = re.sub(r"_expanded(_ver\d+)?$", "", name)
    operators = index.get(base, index[name])["operators"]
    return operators if "+" not in operators else "several operators"


def table(index, results):
    rows = collections.defaultdict(list)
    for name in index:
        rows[operator(name, index)].append(name)
    passed = {name for name, (status, _) in results.items() if status == "passed"}
    lines = [
        "# Conformance",
        "",
        "Written by `make conformance-table`, held by `make conformance`. The node tests of the `onnx` package through `onnxq test`, float executor, the",
        f"suite's own tolerances. **{len(passed)} of {len(index)}** cases pass ({PEERS}).",
        "",
        "Cases whose names end in `_expanded` run the function body of the operator; they count for the operator.",
        "",
    ]
    missing = sorted(set(index) - passed)
    if missing:
        lines += ["## Out of scope", "", "| case | reason |", "|---|---|"]
        lines += [f"| `{name}` | {short(results[name][1])} |" for name in missing] + [""]
    lines += ["## By operator", "", "| operator | opsets | cases | passed |", "|---|---|---|---|"]
    for name in sorted(rows, key=str.lower):
        opsets = sorted({int(index[case]["opset"]) for case in rows[name]} - {0})
        span = f"{opsets[0]}–{opsets[-1]}" if len(opsets) > 1 else "".join(map(str, opsets))
        lines.append(f"| {name} | {span} | {len(rows[name])} | {len(passed & set(rows[name]))} |")
    return "\n".join(lines) + "\n"


def short(reason):
    reason = re.sub(r"\s+", " ", reason).strip()
    return reason if len(reason) <= 160 else reason[:157] + "..."


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--executor", default="float", choices=["float", "integer"])
    options = parser.parse_args()
    report = Report("conformance")
    folder, index = suite()
    results = run(folder, index, options.executor)
    report.check("every case is reported", set(results) == set(index), sorted(set(results) ^ set(index))[:5])
    missing = {name: reason for name, (status, reason) in results.items() if status != "passed"}
    print(f"{len(results) - len(missing)} of {len(index)} node tests of the onnx package pass")
    by_operator = collections.Counter(index[name]["operators"] for name in missing if name in index)
    for operators, count in sorted(by_operator.items()):
        print(f"  does not pass: {operators} ({count})")
    if options.record:
        KNOWN.write_text("".join(f"{name}: {short(missing[name])}\n" for name in sorted(missing)))
        TABLE.write_text(table(index, results))
        sys.exit(f"recorded {len(missing)} cases in {KNOWN.relative_to(REPOSITORY)}, and {TABLE.relative_to(REPOSITORY)}")
    listed = known()
    for name in sorted(index):
        status, reason = results.get(name, ("missing", ""))
        if name in listed:
            report.check(name, status != "passed", "passes, but is listed in known_node_failures.txt: remove it there")
        else:
            report.check(name, status == "passed", f"{status}: {reason}")
    if options.executor == "float":
        current = TABLE.exists() and TABLE.read_text() == table(index, results)
        report.check("docs/conformance.md", current, "is not what this run gives: make conformance-table")
    print(f"conformance: listed as not passing: {len(listed)}")
    report.finish()


if __name__ == "__main__":
    main()
