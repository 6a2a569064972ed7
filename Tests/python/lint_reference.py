"""Writes the table of docs/lint.md from the rules that the program has; with --check fails when the two differ.

usage: lint_reference.py [--check]
"""
import json
import sys

from support import DIGITS, ONNXQ, REPOSITORY, onnxq

PAGE = REPOSITORY / "docs" / "lint.md"
HEAD = "| rule | severity | what should be so | fix |\n|---|---|---|---|\n"


def table():
    outcome = onnxq("lint", DIGITS / "digits.onnx", "--target", "onnxruntime", "--format", "sarif", "--quiet")
    if outcome.code != 0:
        sys.exit(str(outcome))
    rules = json.loads(outcome.stdout)["runs"][0]["tool"]["driver"]["rules"]
    lines = []
    for rule in rules:
        level = rule["defaultConfiguration"]["level"].replace("note", "info")
        cells = [rule["id"], level, rule["shortDescription"]["text"], rule["help"]["text"]]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n")
    return HEAD + "".join(lines)


def main():
    if not ONNXQ.is_file():
        sys.exit(f"{ONNXQ} is not built: run make")
    text = PAGE.read_text()
    prose, found, _ = text.partition(HEAD)
    if not found:
        sys.exit("docs/lint.md has no table of rules")
    wanted = prose + table()
    if "--check" in sys.argv[1:]:
        if text != wanted:
            sys.exit("the table of docs/lint.md is not what the program says: run 'make cli-reference' and commit the result")
        print("the table of docs/lint.md is what the program says")
        return
    PAGE.write_text(wanted)


if __name__ == "__main__":
    main()
