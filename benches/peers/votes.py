#!/usr/bin/env python3
"""Compares two result files of `ruminate eval --out`, one of each backend: the same votes question by question, and accuracy with
McNemar's exact two-sided p. README.md beside this file says how they are made."""

import json
import sys
from math import comb


def results(path):
    """Records by setting, then by row and repeat."""
    settings = {}
    with open(path, encoding="utf-8") as file:
        for record in map(json.loads, file):
            if "config" in record:
                settings.setdefault(record["config"], {})[record["row"], record["repeat"]] = record
    return settings


def votes(record):
    return sorted((c["answer"] or "", c["votes"]) for c in record["candidates"])


def mcnemar(won, lost):
    """Probability of a split at least as uneven, were both equally good."""
    n, least = won + lost, min(won, lost)
    return min(1.0, 2 * sum(comb(n, k) for k in range(least + 1)) / 2**n)


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: votes.py A.jsonl B.jsonl")
    ours, theirs = map(results, sys.argv[1:])
    for config in ours.keys() & theirs.keys():
        a, b = ours[config], theirs[config]
        both = sorted(a.keys() & b.keys())
        if not both:
            continue
        right = [sum(r[key]["correct"] for key in both) for r in (a, b)]
        won = sum(b[key]["correct"] and not a[key]["correct"] for key in both)
        lost = sum(a[key]["correct"] and not b[key]["correct"] for key in both)
        print(f"{config}: {len(both)} questions, {right[0]} and {right[1]} right, p = {mcnemar(won, lost):.2f} ({won} won, {lost} lost)")
        print(f"  same answer {sum(a[k]['answer'] == b[k]['answer'] for k in both)}, same votes "
              f"{sum(votes(a[k]) == votes(b[k]) for k in both)}, same text {sum(a[k]['text'] == b[k]['text'] for k in both)}")
        for key in both:
            if votes(a[key]) != votes(b[key]) and len(both) <= 20:
                print(f"  row {key[0]}: {votes(a[key])} and {votes(b[key])}")


if __name__ == "__main__":
    main()
