"""A story under construction: sentences, solution steps, and the numbers that make up its identity."""

from words import HE, SHE

# Sentences whose number does not matter. They are no part of the identity, so a held-out
# problem cannot come back in training with a different distraction.
DISTRACTIONS = [
    "{n} is {k} years old.", "It is {k} degrees outside.", "{n} lives at number {k}.", "{n} has {k} cousins.",
    "The shop is {k} miles away.", "{n} woke up {k} minutes late.", "The bus ride takes {k} minutes.",
    "{n} read {k} pages last night.",
]


class Person:
    def __init__(self, name, she):
        self.name = name
        self.they, self.their = ("she", "her") if she else ("he", "his")
        self.They = self.they.capitalize()


class Story:
    def __init__(self, rng):
        self.rng = rng
        self.parts, self.numbers = [], []        # identity: which parts, with which numbers
        self.sentences, self.steps = [], []
        self.people = []
        self.value = 0                           # the answer so far

    # --- identity -----------------------------------------------------------------------
    def part(self, name):
        self.parts.append(name)

    def num(self, low, high):
        n = self.rng.randint(low, high)
        self.numbers.append(n)
        return n

    def choose(self, options):
        """A choice that changes the arithmetic, so it counts as a number of the problem."""
        return options[self.num(0, len(options) - 1)]

    # --- wording ------------------------------------------------------------------------
    def pick(self, options):
        return options[int(self.rng.random() * len(options))]

    def person(self):
        while True:
            she = self.rng.random() < 0.5
            name = self.pick(SHE if she else HE)
            if all(p.name != name for p in self.people):
                self.people.append(Person(name, she))
                return self.people[-1]

    def say(self, *options):
        self.sentences.append(self.pick(options))

    def distract(self):
        text = self.pick(DISTRACTIONS).format(n=self.people[0].name, k=self.rng.randint(3, 40))
        self.sentences.insert(self.rng.randint(1, len(self.sentences)), text)

    # --- solution -----------------------------------------------------------------------
    def step(self, text, *expression):
        """Adds a line where `@` stands for the arithmetic; returns its result, exact or not at all."""
        result = evaluate(expression)
        shown = " ".join(str(t) for t in expression) + " = " + str(result)
        self.steps.append(text.replace("@", shown))
        self.value = result
        return result


def evaluate(tokens):
    """Left to right with * and / before + and -; every intermediate result must be a whole number >= 0."""
    sums = [tokens[0]]
    signs = [1]
    for op, n in zip(tokens[1::2], tokens[2::2]):
        if op == "*":
            sums[-1] *= n
        elif op == "/":
            if n == 0 or sums[-1] % n:
                raise ValueError(f"not a whole number: {tokens}")
            sums[-1] //= n
        else:
            sums.append(n)
            signs.append(1 if op == "+" else -1)
    total = 0
    for sign, n in zip(signs, sums):
        total += sign * n
        if total < 0:
            raise ValueError(f"negative: {tokens}")
    return total
