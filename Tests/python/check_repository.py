"""Checks on the files of the repository: sizes, the hashes that the fixtures' README states, links of the documents.

usage: check_repository.py
"""
import hashlib
import re
import subprocess
import sys

from support import FIXTURES, REPOSITORY

LIMIT = 2 << 20


def main():
    failures = []
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=True).stdout
    files = [REPOSITORY / name for name in listed.decode().split("\0") if name]
    present = [path for path in files if path.is_file()]
    failures += [f"{path}: over 2 MiB" for path in present if path.stat().st_size > LIMIT]

    table = (FIXTURES / "models" / "README.md").read_text()
    models = [path for path in (FIXTURES / "models").rglob("*") if path.suffix in (".onnx", ".bin")]
    for path in models:
        if hashlib.sha256(path.read_bytes()).hexdigest() not in table:
            failures.append(f"{path}: Fixtures/models/README.md does not state its sha256")

    links = 0
    for page in (path for path in present if path.suffix == ".md"):
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            if "://" not in target:
                links += 1
                if not (page.parent / target).exists():
                    failures.append(f"{page}: no such file: {target}")
        for target in re.findall(r"`(docs/[\w./-]+)`", page.read_text()):
            links += 1
            if not (REPOSITORY / target).exists():
                failures.append(f"{page}: no such file: {target}")

    for failure in failures:
        print(f"FAILED {failure}")
    print(f"repository: {len(present)} files, {len(models)} hashes, {links} links, {len(failures)} failed")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
