#!/usr/bin/env python3
"""Checks that the kill points in src/ and the table in docs/dev/faults.md are the same, each name once.

usage: failpoints.py [REPOSITORY]
"""

import collections
import pathlib
import re
import sys

POINT = re.compile(r'BERTH_FAILPOINT\("([^"]*)"\)')
ROW = re.compile(r"^\| `([a-z_.]+)` \|", re.MULTILINE)
NAME = re.compile(r"^[a-z]+\.[a-z_]+\.[a-z_]+$")


def in_sources(root):
    """name -> the places that have it."""
    places = collections.defaultdict(list)
    for path in sorted((root / "src").rglob("*")):
        if path.suffix not in {".h", ".cc"} or path.name.endswith("_test.cc"):
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if line.lstrip().startswith("//"):
                continue
            for name in POINT.findall(line):
                places[name].append(f"{path.relative_to(root)}:{number}")
    return dict(places)


def in_table(root):
    return [name for name in ROW.findall((root / "docs/dev/faults.md").read_text()) if NAME.match(name)]


def complaints(root):
    places, table = in_sources(root), in_table(root)
    for name, where in places.items():
        if not NAME.match(name):
            yield f"{where[0]}: \"{name}\" has not the form module.part.moment"
        if len(where) > 1:
            yield f"{where[1]}: {name} is already at {where[0]}: give it another name"
        if name not in table:
            yield f"{where[0]}: {name} is not in the table of docs/dev/faults.md"
    for name in table:
        if name not in places:
            yield f"docs/dev/faults.md: {name} is nowhere in src/"
    if not places:
        yield "src/: no kill point was found; has the macro another name?"


def main():
    if sys.argv[1:] in (["-h"], ["--help"]):
        print(__doc__)
        return 0
    root = pathlib.Path(sys.argv[1]) if sys.argv[1:] else pathlib.Path(__file__).resolve().parents[2]
    found = list(complaints(root))
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
