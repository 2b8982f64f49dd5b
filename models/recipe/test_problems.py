"""Proves what the model card says of the data: the split, the determinism and the arithmetic.

    python3 -m unittest test_problems
"""

import itertools
import json
import pathlib
import re
import unittest

from problems import (CHUNK_STEPS, MAX_STEPS, TEST_COUNT, TEST_SEED, TRAIN_SEED, TRAIN_STEPS, is_held_out, lessons, stream,
                      unique)
from shapes import SHAPES

TEST_FILE = pathlib.Path(__file__).parent.parent / "test.jsonl"
ARITHMETIC = re.compile(r"(\d+(?: [-+*/] \d+)+) = (\d+)")


def held_out():
    return unique(stream(TEST_SEED, True), TEST_COUNT)


def check_solution(case, problem):
    """Every line holds one exact equation over known numbers, and the last result is the answer."""
    lines = problem.solution.split("\n")
    known = set(map(int, re.findall(r"\d+", problem.question)))
    result = None
    for line in lines[:-1]:
        found = ARITHMETIC.findall(line)
        case.assertEqual(len(found), 1, line)
        expression, result = found[0][0], int(found[0][1])
        case.assertEqual(eval(expression.replace("/", "//")), result, line)
        case.assertEqual(eval(expression), result, line)          # the division leaves no rest
        numbers = list(map(int, re.findall(r"\d+", expression)))
        # 1 to 12, 100 and the five days of a week may come from the words ("twice", "dozen", "%", "legs")
        case.assertTrue(all(n in known or n <= 12 or n == 100 for n in numbers), (problem.question, line))
        known.add(result)
    case.assertEqual(lines[-1], f"#### {result}")
    case.assertEqual(result, problem.answer)


class Split(unittest.TestCase):
    def test_no_training_problem_is_held_out(self):
        """Regenerates every problem that the training read, chunk by chunk."""
        test = list(held_out())
        keys, questions = {p.key for p in test}, {p.question for p in test}
        count = 0
        for chunk in range(-(-TRAIN_STEPS // CHUNK_STEPS)):
            for problem, _ in lessons(TRAIN_SEED, chunk):
                count += 1
                self.assertNotIn(problem.key, keys)
                self.assertNotIn(problem.question, questions)
                self.assertTrue(problem.key.startswith("drill|") or not is_held_out(problem.key), problem.key)
        self.assertGreater(count, TRAIN_STEPS)

    def test_the_test_file_is_what_the_generator_gives(self):
        with open(TEST_FILE, encoding="utf-8") as f:
            rows = [json.loads(line) for line in f]
        self.assertEqual(rows, [{"question": p.question, "answer": p.solution} for p in held_out()])
        self.assertEqual(len(rows), TEST_COUNT)

    def test_every_held_out_problem_is_on_its_side_and_once(self):
        test = list(held_out())
        self.assertTrue(all(is_held_out(p.key) for p in test))
        self.assertEqual(len({p.key for p in test}), TEST_COUNT)

    def test_wording_does_not_move_a_problem(self):
        """The same key in different words occurs, and always on the same side."""
        wordings = {}
        for p in itertools.islice(stream(5, False), 30000):
            wordings.setdefault(p.key, set()).add(p.question)
        self.assertGreater(sum(len(w) > 1 for w in wordings.values()), 100)
        self.assertFalse(any(is_held_out(k) for k in wordings))


class Determinism(unittest.TestCase):
    def test_a_seed_fixes_the_stream(self):
        take = lambda seed: list(itertools.islice(stream(seed, False), 500))
        self.assertEqual(take(3), take(3))
        self.assertNotEqual(take(3), take(4))

    def test_a_seed_fixes_the_lessons(self):
        self.assertEqual(list(lessons(2, 7)), list(lessons(2, 7)))
        self.assertNotEqual(list(lessons(2, 7)), list(lessons(2, 8)))


class Solutions(unittest.TestCase):
    def test_arithmetic_of_both_sides_and_the_drills(self):
        for p in held_out():
            check_solution(self, p)
        for p in itertools.islice(stream(9, False), 20000):
            check_solution(self, p)
        for p, _ in lessons(9, 0):
            if p.key.startswith("drill|"):
                check_solution(self, p)

    def test_variety(self):
        test = list(held_out())
        shapes = {p.key.split("|")[0].split("+")[0] for p in test}
        self.assertGreaterEqual(len(shapes), 25)
        self.assertEqual(shapes, {s.__name__ for s in SHAPES})
        self.assertEqual({len(p.steps) for p in test}, set(range(2, MAX_STEPS + 1)))


if __name__ == "__main__":
    unittest.main()
