#!/usr/bin/env python3
"""Holds the Swift package against include/ruminate.h, also where there is no Swift compiler: python3 scripts/check-swift.py

Every function that the package calls is declared and gets as many arguments; every function of the header is called, or left out on
purpose in ffi/swift/not-wrapped.txt; every field that is set or read exists; every number of an enumeration, named in a comment behind
it, is the header's."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "ffi/swift"


def without_comments(text):
    return re.sub(r"//[^\n]*", "", text)


def split(text):
    """The parts of a list between top-level commas."""
    parts, depth, start = [], 0, 0
    for place, char in enumerate(text):
        depth += (char in "([{") - (char in ")]}")
        if char == "," and depth == 0:
            parts.append(text[start:place])
            start = place + 1
    return [part.strip() for part in parts + [text[start:]] if part.strip()]


def inside(text, start):
    """What stands between the bracket at `start` and its partner."""
    depth = 0
    for place in range(start, len(text)):
        depth += (text[place] in "([{") - (text[place] in ")]}")
        if depth == 0:
            return text[start + 1 : place]
    raise SystemExit(f"a bracket is not closed: {text[start : start + 60]!r}")


def header():
    text = without_comments((ROOT / "include/ruminate.h").read_text())
    functions = {}
    for found in re.finditer(r"^(?:RUM_MUST_USE\s+)?[a-z][\w ]*[ *](rum_\w+)\(", text, re.M):
        arguments = split(inside(text, found.end() - 1))
        functions[found.group(1)] = 0 if arguments == ["void"] else len(arguments)
    fields = {}
    for found in re.finditer(r"typedef struct (rum_\w+) \{", text):
        body = inside(text, found.end() - 1)
        fields[found.group(1)] = set(re.findall(r"(\w+)\s*;", body))
    numbers = {name: int(value) for name, value in re.findall(r"\b(RUM_[A-Z0-9_]+) = (-?\d+)", text)}
    numbers |= {name: int(value) for name, value in re.findall(r"#define (RUM_[A-Z0-9_]+) (\d+)", text)}
    return functions, fields, numbers


def check():
    functions, fields, numbers = header()
    wrong, called = [], set()
    sources = sorted(PACKAGE.glob("Sources/Ruminate/*.swift"))
    for path in sources:
        raw = path.read_text()
        text = without_comments(raw)
        if text.count("{") != text.count("}") or text.count("(") != text.count(")"):
            wrong.append(f"{path.name}: brackets do not match")
        for found in re.finditer(r"\b(rum_\w+)\(", text):
            name, given = found.group(1), split(inside(text, found.end() - 1))
            if name in fields:
                labels = {part.split(":")[0].strip() for part in given if ":" in part}
                wrong += [f"{path.name}: {name} has no field {label}" for label in labels - fields[name]]
            elif name not in functions:
                wrong.append(f"{path.name}: {name} is not in the header")
            else:
                called.add(name)
                if len(given) != functions[name]:
                    wrong.append(f"{path.name}: {name} takes {functions[name]} arguments and gets {len(given)}")
        # Variables of a struct's type, where the name stands for nothing else in the file.
        typed = re.findall(r"var (\w+) = (rum_\w+)\(\)", text)
        for variable in {variable for variable, _ in typed}:
            kinds = [fields[kind] for name, kind in typed if name == variable]
            if re.search(rf"\b{variable}: (?!inout rum_|inout OpaquePointer|rum_|OpaquePointer)", text):
                continue
            for field in set(re.findall(rf"(?<![\w.]){variable}\.(\w+)", text)):
                if not any(field in kind for kind in kinds):
                    wrong.append(f"{path.name}: {variable}.{field} is no field of {[k for n, k in typed if n == variable]}")
        for value, name in re.findall(r"= (-?\d+) // (RUM_[A-Z0-9_]+)$", raw, re.M):
            if numbers.get(name) != int(value):
                wrong.append(f"{path.name}: {name} is {numbers.get(name)}, not {value}")
        for first, second, name, other in re.findall(r"\? (\d+) : (\d+) // (RUM_\w+)(?:, (RUM_\w+))?", raw):
            if numbers.get(name) != int(first) or (other and numbers.get(other) != int(second)):
                wrong.append(f"{path.name}: {name} or {other} has another number")
    left_out = {}
    for line in (PACKAGE / "not-wrapped.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            name, _, why = line.partition(":")
            left_out[name.strip()] = why.strip()
    for name in sorted(functions):
        if name not in called and name not in left_out:
            wrong.append(f"{name} is neither called nor in not-wrapped.txt")
    for name, why in left_out.items():
        if name not in functions or name in called or not why:
            wrong.append(f"not-wrapped.txt: {name} is called, or not in the header, or has no reason")
    return wrong, len(called), len(left_out), len(sources)


if __name__ == "__main__":
    faults, n_called, n_left, n_sources = check()
    print("\n".join(faults) or f"{n_sources} Swift files call {n_called} functions, {n_left} are left out on purpose")
    sys.exit(bool(faults))
