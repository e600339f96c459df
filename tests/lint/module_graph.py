#!/usr/bin/env python3
"""Checks the module graph: every #include in src/ against src/modules.txt, and what only one module may use.

usage: module_graph.py [REPOSITORY]

Only the text is read: an include must name the module itself or one that its line in src/modules.txt names
(what those include in turn is their business). Prints "path:line: sentence" and ends with 1 if there is anything
to say.
"""

import re
import sys
from pathlib import Path

GRAPH = "src/modules.txt"
SOURCES = {".h", ".cc"}
TEST_FILES = re.compile(r"_((test|fuzz|bench)\.cc|fixture\.h)$")

# (what, pattern of an #include, modules that may have it). Asio is the vocabulary of asynchronous code: whoever uses
# rt may use it, the pure modules may not. OpenSSL is in two places: crypto computes, http speaks TLS.
LIBRARIES = [
    ("OpenSSL", re.compile(r"<openssl/"), {"crypto", "http"}),
    ("prometheus-cpp", re.compile(r"<prometheus/"), {"metrics"}),
    ("CLI11", re.compile(r"<CLI/"), {"cli"}),
    ("toml++", re.compile(r"<toml(\+\+|plusplus)/|<toml\.hpp>"), {"config"}),
    ("Boost.Beast", re.compile(r"<boost/beast"), {"http"}),
    ("libcurl", re.compile(r"<curl/"), {"http"}),
    ("Boost.Asio", re.compile(r"<boost/asio"), {"rt"}),
]

# (pattern in the code, modules that may have it, sentence); test files may do as they like.
CONSTRUCTS = [
    (re.compile(r"\bstd::(jthread|thread|async)\b(?!::)|\bpthread_create\b"), {"rt"},
     "only rt starts threads: run this on rt::Pool"),
    (re.compile(r'"/(root|home)(/|")'), set(),
     "a path of one machine: take it from the settings or the environment"),
]


def read_graph(path):
    """The modules with what each may include, where each line is, and what is wrong with the file itself."""
    uses, lines, findings = {}, {}, []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        line = line.split("#", 1)[0].strip()
        if not line:
            continue
        name, colon, rest = line.partition(":")
        if not colon or not re.fullmatch(r"[a-z]+", name):
            findings.append((GRAPH, number, f'"{line}" is not of the form "module: module module"'))
        elif name in uses:
            findings.append((GRAPH, number, f"{name} was listed before, on line {lines[name]}"))
        else:
            uses[name], lines[name] = rest.split(), number
    for name, used in uses.items():
        for other in used:
            if other not in uses:
                findings.append((GRAPH, lines[name], f"{name} names {other}, which is not listed"))
    return uses, lines, findings


def cycles(uses, lines):
    """One finding for each edge that closes a circle."""
    findings, done = [], set()

    def visit(name, path):
        if name in path:
            circle = " -> ".join(path[path.index(name):] + [name])
            findings.append((GRAPH, lines[name], f"a cycle: {circle}"))
            return
        if name in done:
            return
        for other in uses.get(name, []):
            visit(other, path + [name])
        done.add(name)

    for name in uses:
        visit(name, [])
    return findings


def without_comments(text):
    """The code with comments blanked, so that line numbers stay. Strings are kept."""
    token = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.S)
    return token.sub(lambda m: m[0] if m[0][0] == '"' else re.sub(r"[^\n]", " ", m[0]), text)


def check_include(name, target, uses):
    """What is wrong with `#include target` in module `name`, and the module that it names."""
    if target.startswith("<"):
        return [f"only {' and '.join(sorted(owners))} may include {what}"
                for what, pattern, owners in LIBRARIES
                if pattern.match(target) and name not in owners and not ("rt" in owners and "rt" in uses[name])], None
    other, slash, _ = target[1:-1].partition("/")
    if not slash:
        return [f'includes are rooted at src: write "{name}/{other}"'], None
    if other not in uses:
        return [f"{other} is no module of {GRAPH}"], None
    if other != name and other not in uses[name]:
        return [f"{name} may not include {other}: its line in {GRAPH} does not name it"], None
    return [], other


def check_file(path, shown, name, uses):
    """Findings in one file, and the modules that it includes."""
    findings, used = [], set()
    is_test = TEST_FILES.search(path.name)
    for number, line in enumerate(without_comments(path.read_text()).splitlines(), 1):
        include = re.match(r'\s*#\s*include\s*("[^"]+"|<[^>]+>)', line)
        if include:
            sentences, other = check_include(name, include[1], uses)
            findings += [(shown, number, sentence) for sentence in sentences]
            used.add(other)
        elif not is_test:
            findings += [(shown, number, sentence) for pattern, allowed, sentence in CONSTRUCTS
                         if name not in allowed and pattern.search(line)]
    return findings, used


def check(repository):
    source = repository / "src"
    uses, lines, findings = read_graph(repository / GRAPH)
    findings += cycles(uses, lines)
    files = {}
    for path in sorted(source.rglob("*")):
        if path.suffix in SOURCES and path.parent != source:
            files.setdefault(path.relative_to(source).parts[0], []).append(path)
    for name in files.keys() - uses.keys():
        findings.append((f"src/{name}", 1, f"{name} has code but no line in {GRAPH}"))
    for name in uses:
        if name not in files:
            findings.append((GRAPH, lines[name], f"{name} is listed but has no code in src/{name}"))
            continue
        used = set()
        for path in files[name]:
            shown = path.relative_to(repository).as_posix()
            in_file, included = check_file(path, shown, name, uses)
            findings += in_file
            used |= included
        for other in uses[name]:
            if other in uses and other not in used:
                findings.append((GRAPH, lines[name], f"nothing in {name} includes {other}: take it off the line"))
    return sorted(findings)


def main(arguments):
    if arguments[:1] in (["-h"], ["--help"]):
        print(__doc__.strip())
        return 0
    repository = Path(arguments[0]) if arguments else Path(__file__).resolve().parents[2]
    if not (repository / GRAPH).is_file():
        print(f"module_graph.py: {repository / GRAPH} is missing: name the repository's folder", file=sys.stderr)
        return 2
    findings = check(repository)
    for path, number, sentence in findings:
        print(f"{path}:{number}: {sentence}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
