"""Byte-level BPE in the form llama.cpp calls `smollm`: every digit alone, the rest split by GPT-2's expression.

    python3 tokenizer.py --out tokenizer.json
"""

import argparse
import collections
import itertools
import json

import regex

SPECIAL = ["<|bos|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
BOS, END, SYSTEM, USER, ASSISTANT = range(5)
DIGIT = regex.compile(r"(\p{N})")
# https://github.com/openai/gpt-2/blob/master/src/encoder.py, `self.pat`
GPT2 = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")


def byte_letters():
    """GPT-2's printable stand-in for each byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {b: chr(b) for b in printable}
    for b in range(256):
        letters.setdefault(b, chr(256 + len(letters) - len(printable)))
    return letters


LETTER = byte_letters()
BYTE = {c: b for b, c in LETTER.items()}


def pieces(text):
    for part in DIGIT.split(text):
        if part:
            yield from GPT2.findall(part)


def spelled(piece):
    return [LETTER[b] for b in piece.encode()]


class Tokenizer:
    def __init__(self, merges):
        self.merges = [tuple(m) for m in merges]
        self.tokens = SPECIAL + [LETTER[b] for b in range(256)] + [a + b for a, b in self.merges]
        self.ids = {t: i for i, t in enumerate(self.tokens)}
        self.rank = {m: i for i, m in enumerate(self.merges)}
        self.known = {}

    @classmethod
    def load(cls, path):
        with open(path, encoding="utf-8") as f:
            return cls(json.load(f)["merges"])

    def save(self, path):
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"merges": self.merges}, f, ensure_ascii=False, indent=0)

    def encode(self, text):
        """Ids of plain text; special tokens are never read out of it."""
        ids = []
        for piece in pieces(text):
            if piece not in self.known:
                self.known[piece] = [self.ids[t] for t in self.merged(spelled(piece))]
            ids += self.known[piece]
        return ids

    def merged(self, parts):
        while len(parts) > 1:
            pair = min(zip(parts, parts[1:]), key=lambda p: self.rank.get(p, len(self.rank)))
            if pair not in self.rank:
                break
            parts = merge(parts, pair)
        return parts

    def decode(self, ids):
        letters = "".join(self.tokens[i] for i in ids if i >= len(SPECIAL))
        return bytes(BYTE[c] for c in letters).decode("utf-8", "replace")

    def chat(self, question, system=None):
        """The prompt of one turn, up to where the answer begins. The chat template renders the same."""
        head = [SYSTEM, *self.encode(system), END] if system else []
        return [BOS, *head, USER, *self.encode(question), END, ASSISTANT]


def merge(parts, pair):
    out, i = [], 0
    while i < len(parts):
        if tuple(parts[i:i + 2]) == pair:
            out.append(parts[i] + parts[i + 1])
            i += 2
        else:
            out.append(parts[i])
            i += 1
    return out


def train(texts, size):
    words = collections.Counter(itertools.chain.from_iterable(map(pieces, texts)))
    words = [(spelled(w), n) for w, n in words.items()]
    merges = []
    while len(merges) < size - 256 - len(SPECIAL):
        pairs = collections.Counter()
        for parts, n in words:
            for pair in zip(parts, parts[1:]):
                pairs[pair] += n
        if not pairs:
            break
        best = max(pairs, key=lambda p: (pairs[p], p))   # ties by spelling, so a run can be repeated
        merges.append(best)
        words = [(merge(parts, best), n) for parts, n in words]
    return Tokenizer(merges)


def main():
    from problems import stream
    from words import SYSTEMS
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--out", default="tokenizer.json")
    args.add_argument("--size", type=int, default=1024)
    args.add_argument("--problems", type=int, default=20000)
    args.add_argument("--seed", type=int, default=1)
    args = args.parse_args()
    problems = list(itertools.islice(stream(args.seed, False), args.problems))
    tokenizer = train([p.question + "\n" + p.solution for p in problems] + SYSTEMS * 50, args.size)
    tokenizer.save(args.out)
    lengths = [len(tokenizer.encode(p.question)) + len(tokenizer.encode(p.solution)) for p in problems[:2000]]
    print(f"{len(tokenizer.tokens)} tokens; a problem takes {sum(lengths) / len(lengths):.1f} on average, {max(lengths)} at most")


if __name__ == "__main__":
    main()
