"""Writes docs/cli.md from what the program says about its own options; with --check fails when the page is not what it says.

usage: cli_reference.py [--check]
"""
import json
import sys

from support import ONNXQ, REPOSITORY, onnxq

PAGE = REPOSITORY / "docs" / "cli.md"
HEAD = """# Command line reference

Generated from `onnxq` itself by `make cli-reference`; do not edit. Exit codes: 0 good; 1 ran and fell short (a threshold, a mismatch); 2 usage;
3 bad input (file, data, model); 4 internal error. With `--format json` the document stands alone on standard output and carries `"schema": "onnxq.VERB/1"`;
progress and messages go to standard error.
"""
EVERYWHERE = {"help", "version"}


def spelled(argument):
    value = argument.get("valueName", "")
    names = [("-" if name["kind"] == "short" else "--") + name["name"] for name in argument.get("names", [])]
    names.sort(key=lambda name: not name.startswith("--"))
    text = ", ".join(names) if names else f"{value.upper()}{'...' if argument['isRepeating'] else ''}"
    if argument["kind"] == "option":
        text += f" <{value}>" + (" ..." if argument["isRepeating"] else "")
    return text.replace("|", "\\|")


def described(argument):
    text = " ".join([argument.get("abstract", ""), argument.get("discussion", "")]).strip().replace("|", "\\|").replace("\n", " ")
    if argument.get("allValues") and "|" not in argument.get("valueName", ""):
        text += " One of: " + ", ".join(argument["allValues"]) + "."
    if argument.get("defaultValue") not in (None, "", "false"):
        text += f" Default: `{argument['defaultValue']}`."
    return text


def discussion(text):
    """Paragraphs as they are, lines that are indented as a code block."""
    lines, code = [], False
    for line in text.splitlines():
        indented = line.startswith("  ")
        if indented and not code:
            lines.append("" if lines and lines[-1] == "" else "")
        lines.append("    " + line.strip() if indented else line)
        code = indented
    return "\n".join(lines)


def section(command):
    lines = [f"## onnxq {command['commandName']}", "", command.get("abstract", ""), ""]
    if command.get("discussion"):
        lines += [discussion(command["discussion"]), ""]
    arguments = [
        argument
        for argument in command.get("arguments", [])
        if argument.get("shouldDisplay", True) and argument.get("valueName") not in EVERYWHERE
    ]
    arguments.sort(key=lambda argument: argument["kind"] != "positional")
    if arguments:
        lines += ["| argument | meaning |", "|---|---|"]
        lines += [f"| `{spelled(argument)}` | {described(argument)} |" for argument in arguments]
        lines.append("")
    return lines


def page():
    outcome = onnxq("--experimental-dump-help")
    if outcome.code != 0:
        sys.exit(str(outcome))
    root = json.loads(outcome.stdout)["command"]
    lines = [HEAD]
    for command in root.get("subcommands", []):
        if command.get("shouldDisplay", True) and command["commandName"] != "help":
            lines += section(command)
    return "\n".join(line.rstrip() for line in "\n".join(lines).splitlines()).rstrip() + "\n"


def main():
    if not ONNXQ.is_file():
        sys.exit(f"{ONNXQ} is not built: run make")
    text = page()
    if "--check" in sys.argv[1:]:
        if not PAGE.exists() or PAGE.read_text() != text:
            sys.exit("docs/cli.md is not what the program says: run 'make cli-reference' and commit the result")
        print("docs/cli.md is what the program says")
        return
    PAGE.write_text(text)


if __name__ == "__main__":
    main()
