#!/usr/bin/env python3
"""Runs ruminate beside llama.cpp, alternating, and prints ratios. README.md beside this file says how to read them."""

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from engines import CRATE, VERSION, Ruminate, prepare


@dataclass(frozen=True)
class Case:
    """One row of the table: a prompt shared by branches that decode `gen` tokens each; `rate` is what counts."""

    name: str
    prompt: int
    gen: int
    branches: int
    rate: str = "decode_tok_s"
    contended: bool = False


def cases(args):
    gen = 16 if args.quick else 64
    all_cases = [Case(f"decode B={b}", 256, gen, b) for b in args.branches]
    all_cases += [
        Case("prefill 512", 512, 1, 1, rate="prefill_tok_s"),
        Case("prefix 1024 B=32", 1024, gen, 32),
        Case("depth 1024 B=1", 1024, gen, 1),
    ]
    if args.contention:
        all_cases.append(Case("contention B=1", 256, gen, 1, contended=True))
    return [case for case in all_cases if any(text in case.name for text in args.only)]


@contextlib.contextmanager
def busy_loops(n):
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def sample(engine, model, case, threads):
    """Tokens per second; of a contended case, the share of the quiet speed that is left."""
    quiet = engine.rates(model, case)[case.rate]
    if not case.contended:
        return quiet
    with busy_loops(threads):
        return engine.rates(model, case)[case.rate] / quiet


def measure(engines, model, case, args):
    samples = {engine.name: [] for engine in engines}
    for i in range(args.rounds):
        # Forth and back: a drift of the machine favours nobody.
        for engine in engines if i % 2 == 0 else reversed(engines):
            samples[engine.name].append(sample(engine, model, case, args.threads))
    return samples


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def result(model, case, samples):
    """Ratios are taken within a round, whose runs are neighbours in time, and summed up over rounds."""
    ours = samples[Ruminate.name]
    others = {name: theirs for name, theirs in samples.items() if name != Ruminate.name}
    ratios = {name: spread([a / b for a, b in zip(ours, theirs)]) for name, theirs in others.items()}
    unit = "share" if case.contended else "tok/s"
    engines = {name: {**spread(values), "samples": values} for name, values in samples.items()}
    return {"model": model.name, "case": case.name, "unit": unit, "engines": engines, "ratios": ratios}


def head(model, engines, args):
    what = f"{args.threads} threads, {args.rounds} rounds, {'AVX2' if args.avx2 else 'native'}"
    names = "".join(f"  {engine.name:>8}".ljust(28 if i == 0 else 50) for i, engine in enumerate(engines))
    return f"{model.name}: {what}; tok/s [range] xRatio of ruminate to the engine [range]\n{'':<18}{names}".rstrip()


def show(row):
    digits = 3 if row["unit"] == "share" else 1
    text = f"{row['case']:<18}"
    for name, s in row["engines"].items():
        text += f"  {s['median']:>8.{digits}f} {'[%.*f..%.*f]' % (digits, s['min'], digits, s['max']):<17}"
        if ratio := row["ratios"].get(name):
            text += f" x{ratio['median']:<6.2f}{'[%.2f..%.2f]' % (ratio['min'], ratio['max']):<14}"
    return text.rstrip()


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL.gguf")
    parser.add_argument("--threads", type=int, default=2, help="threads of every engine (2)")
    parser.add_argument("--rounds", type=int, help="runs of every engine and case (5; 2 with --quick)")
    parser.add_argument("--branches", default="1,4,8,16,32", help="widths of the decoding cases (1,4,8,16,32)")
    parser.add_argument("--only", default="", metavar="TEXT,TEXT", help="only cases whose name contains one of these")
    parser.add_argument("--quick", action="store_true", help="2 rounds, 16 decoded tokens: a look, no result")
    parser.add_argument("--contention", action="store_true", help="also beside one busy loop per thread")
    parser.add_argument("--avx2", action="store_true", help="AVX2 only, for llama.cpp and ruminate alike")
    parser.add_argument("--ik", type=Path, metavar="DIR", help="a build folder of ik_llama.cpp, made by hand")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of tables")
    args = parser.parse_args()
    args.rounds = args.rounds or (2 if args.quick else 5)
    try:
        args.branches = [int(b) for b in args.branches.split(",")]
    except ValueError:
        parser.error("--branches takes whole numbers with commas between them")
    if args.threads < 1 or args.rounds < 1 or min(args.branches) < 1:
        parser.error("--threads, --rounds and --branches count from 1")
    args.only = args.only.split(",")
    if missing := [str(model) for model in args.models if not model.is_file()]:
        parser.error(f"no such file: {', '.join(missing)}")
    args.models = [model.resolve() for model in args.models]
    return args


def main():
    args = parse()
    engines = prepare(args)
    rows = []
    for model in args.models:
        if not args.json:
            print(head(model, engines, args), flush=True)
        for case in cases(args):
            print(f"{model.name}: {case.name}", file=sys.stderr, flush=True)
            rows.append(result(model, case, measure(engines, model, case, args)))
            if not args.json:
                print(show(rows[-1]), flush=True)
    if args.json:
        settings = {"threads": args.threads, "rounds": args.rounds, "quick": args.quick, "avx2": args.avx2}
        print(json.dumps({"machine": machine(), "crate": f"{CRATE} {VERSION}", **settings, "results": rows}, indent=1))


def machine():
    return {"system": platform.platform(), "processor": cpu_name(), "cores": os.cpu_count()}


def cpu_name():
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


if __name__ == "__main__":
    main()
