"""Seeded generator of grade-school arithmetic word problems.

A problem is a shape (the start of a story), up to three tails (one more event each) and some wording.
Its identity, `key`, is the shape, the tails and their numbers; names, things, phrases and distractions are no
part of it. The hash of the key decides on which side of the split a problem lies, so no held-out problem
can appear in training in any wording.

    python3 problems.py test --count 500 --seed 1 > ../test.jsonl
"""

import argparse
import hashlib
import json
import random
import sys
from dataclasses import dataclass

from shapes import SHAPES
from story import Story
from tails import TAILS
from words import SYSTEMS

MAX_STEPS = 5
MAX_NUMBER = 9999
HELD_OUT_ONE_IN = 16
TEST_SEED, TEST_COUNT = 1, 500
TRAIN_SEED, TRAIN_STEPS = 1, 768        # what the bundled model was trained with
CHUNK_STEPS = 16     # training steps whose problems are drawn and sorted by length together
CHUNK_ROWS = 1152    # rows in a chunk
DRILLS = 0.15        # part of the rows that is bare arithmetic


@dataclass(frozen=True)
class Problem:
    key: str
    question: str
    steps: tuple
    answer: int

    @property
    def solution(self):
        return "\n".join(self.steps) + f"\n#### {self.answer}"


def is_held_out(key):
    return hashlib.sha256(key.encode()).digest()[0] % HELD_OUT_ONE_IN == 0


def attempt(rng):
    """One draw; None when the numbers did not work out."""
    s = Story(rng)
    shape = rng.choice(SHAPES)
    s.part(shape.__name__)
    found = shape(s)
    tails = rng.choices((0, 1, 2, 3), weights=(3, 4, 3, 1))[0] if TAILS[found.kind] else 0
    used = set()
    for _ in range(tails):
        options = [t for t in TAILS[found.kind] if t not in used]
        if not options:
            break
        tail = rng.choice(options)
        used.add(tail)
        before = len(s.numbers)
        more = tail(s, found)
        if more is None:
            del s.numbers[before:]
            continue
        s.part(tail.__name__)
        found = more
    if not 2 <= len(s.steps) <= MAX_STEPS or s.value > MAX_NUMBER:
        return None
    if rng.random() < 0.15:
        s.distract()
    question = " ".join(s.sentences + [s.pick(found.asks)])
    key = "+".join(s.parts) + "|" + ",".join(map(str, s.numbers))
    return Problem(key, question, tuple(s.steps), s.value)


def stream(seed, held_out):
    """Endless problems from one side of the split; the same seed gives the same stream."""
    rng = random.Random(f"{seed}/{'test' if held_out else 'train'}")
    while True:
        problem = attempt(rng)
        if problem is not None and is_held_out(problem.key) == held_out:
            yield problem


def drill(rng):
    """Bare arithmetic: training only, no part of the split."""
    op = rng.choice("++--**/")
    if op == "+":
        a, b = rng.randint(2, 400), rng.randint(2, 200)
        c = a + b
    elif op == "-":
        b, c = rng.randint(2, 150), rng.randint(2, 300)
        a = b + c
    elif op == "*":
        a, b = rng.randint(2, 130), rng.randint(2, 12)
        c = a * b
    else:
        b, c = rng.randint(2, 12), rng.randint(2, 80)
        a = b * c
    return Problem(f"drill|{a},{op},{b}", f"What is {a} {op} {b}?", (f"{a} {op} {b} = {c}",), c)


def lessons(seed, chunk):
    """All that one chunk of training steps reads: (problem, system text or None)."""
    problems = stream(f"{seed}/{chunk}", False)
    rng = random.Random(f"{seed}/{chunk}/lessons")
    for _ in range(CHUNK_ROWS):
        problem = drill(rng) if rng.random() < DRILLS else next(problems)
        yield problem, rng.choice(SYSTEMS) if rng.random() < 0.1 else None


def unique(problems, count):
    """The first `count` problems with distinct keys and distinct questions."""
    keys, questions = set(), set()
    for p in problems:
        if p.key not in keys and p.question not in questions:
            keys.add(p.key)
            questions.add(p.question)
            yield p
            if len(keys) == count:
                return


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("side", choices=["train", "test"])
    args.add_argument("--count", type=int, default=TEST_COUNT)
    args.add_argument("--seed", type=int, default=TEST_SEED)
    args = args.parse_args()
    for p in unique(stream(args.seed, args.side == "test"), args.count):
        json.dump({"question": p.question, "answer": p.solution}, sys.stdout)
        sys.stdout.write("\n")


if __name__ == "__main__":
    main()
