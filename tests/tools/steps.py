"""Lists the steps of the plan (tests/steps.txt) with the tests that cover each: those whose names contain step_NN.

Exits with 1 when a step has none. Only definitions of tests count, not mentions.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ["tests", "bindings"]
DEFINITIONS = {
    ".c": r"^TEST\((\w*step_\d\d\w*)\)",
    ".cc": r"^TEST(?:_F|_P)?\(\s*\w+,\s*(\w*step_\d\d\w*)",
    ".py": r"^\s*(?:async )?def (test\w*step_\d\d\w*)\(",
    ".rs": r"^\s*(?:pub )?fn (\w*step_\d\d\w*)\(",
    ".go": r"^func (Test\w*step_\d\d\w*)\(",
}
NOT_OURS = {"build", "target", "node_modules", ".venv"}


def tests_by_step():
    found = {}
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix not in DEFINITIONS or NOT_OURS & set(path.relative_to(ROOT).parts):
                continue
            for name in re.findall(DEFINITIONS[path.suffix], path.read_text(), flags=re.MULTILINE):
                for number in re.findall(r"step_(\d\d)", name):
                    found.setdefault(int(number), []).append((path.relative_to(ROOT), name))
    return found


def main():
    steps = [line.split(" ", 1) for line in (ROOT / "tests" / "steps.txt").read_text().splitlines()]
    titles = {int(number): title for number, title in steps}
    found = tests_by_step()
    wrong = sorted(set(found) - set(titles))
    uncovered = [number for number in titles if number not in found]
    for number, title in titles.items():
        print(f"{number:2} {title}" + ("" if number in found else "  -- NO TEST"))
        for path, name in found.get(number, []):
            print(f"     {path}: {name}")
    for number in wrong:
        print(f"there is no step {number}, but tests name it: {', '.join(name for _, name in found[number])}")
    print(
        f"{len(titles) - len(uncovered)} of {len(titles)} steps have tests"
        + (f"; without: {uncovered}" if uncovered else "")
    )
    return 1 if uncovered or wrong or len(titles) != 43 else 0


if __name__ == "__main__":
    sys.exit(main())
