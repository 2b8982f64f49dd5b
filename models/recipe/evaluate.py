"""Measures a checkpoint on the held-out problems: greedy accuracy, and what many samples can win.

    python3 evaluate.py run/last.pt --data ../test.jsonl --samples 16
"""

import argparse
import collections
import json
import math

import torch

from generate import generate, load
from tokenizer import Tokenizer


def final_answer(text):
    """The whole number of a last line `#### n`, else None."""
    last = text.rstrip().split("\n")[-1]
    digits = last.removeprefix("#### ")
    return int(digits) if digits != last and digits.isascii() and digits.isdigit() else None


def wilson(good, n, z=1.96):
    """The 95 % interval of a share (E. B. Wilson, 1927)."""
    p, z2 = good / n, z * z
    middle, half = p + z2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return (middle - half) / (1 + z2 / n), (middle + half) / (1 + z2 / n)


def pass_at(k, good, n):
    """Unbiased estimate from n samples of which `good` are right (Chen et al., https://arxiv.org/abs/2107.03374)."""
    return 1.0 - math.comb(n - good, k) / math.comb(n, k)


def vote(answers):
    """The most frequent answer, the earliest of equals."""
    counts = collections.Counter(a for a in answers if a is not None)
    return max(counts, key=lambda a: (counts[a], -answers.index(a))) if counts else None


def in_batches(model, tokenizer, questions, temperature, seed, rows=128):
    """Answers in the order of the questions; batches hold prompts of similar length."""
    prompts = [tokenizer.chat(q) for q in questions]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    texts = [""] * len(prompts)
    for start in range(0, len(order), rows):
        part = order[start:start + rows]
        out = generate(model, [prompts[i] for i in part], temperature, seed * 1000 + start // rows)
        for i, ids in zip(part, out):
            texts[i] = tokenizer.decode(ids)
    return texts


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("checkpoint")
    args.add_argument("--tokenizer", default="tokenizer.json")
    args.add_argument("--data", default="../test.jsonl")
    args.add_argument("--limit", type=int, default=500)
    args.add_argument("--samples", type=int, default=16, help="0 for greedy alone")
    args.add_argument("--temperature", type=float, default=0.8)
    args.add_argument("--seed", type=int, default=1, help="sample i uses seed + i")
    args.add_argument("--threads", type=int, default=1)
    args.add_argument("--texts", help="write every answer to this JSONL file")
    args = args.parse_args()
    torch.set_num_threads(args.threads)
    tokenizer = Tokenizer.load(args.tokenizer)
    model, step = load(args.checkpoint, "cuda" if torch.cuda.is_available() else "cpu")
    with open(args.data, encoding="utf-8") as f:
        rows = [json.loads(line) for line in f][:args.limit]
    wanted = [final_answer(r["answer"]) for r in rows]
    questions = [r["question"] for r in rows]
    n = len(rows)

    greedy = in_batches(model, tokenizer, questions, 0.0, 0)
    right = [final_answer(t) == w for t, w in zip(greedy, wanted)]
    low, high = wilson(sum(right), n)
    print(f"step {step}, {n} problems")
    print(f"greedy        {sum(right) / n:.3f}  (95 % interval {low:.3f} to {high:.3f})")
    by_steps = collections.defaultdict(list)
    for r, ok in zip(rows, right):
        by_steps[r["answer"].count("\n")].append(ok)
    print("by steps      " + ", ".join(f"{k}: {sum(v) / len(v):.2f} of {len(v)}" for k, v in sorted(by_steps.items())))

    samples = []
    for i in range(args.samples):
        samples.append(in_batches(model, tokenizer, questions, args.temperature, args.seed + i))
    if samples:
        answers = [[final_answer(s[i]) for s in samples] for i in range(n)]
        good = [sum(a == w for a in got) for got, w in zip(answers, wanted)]
        print(f"one sample    {sum(good) / n / args.samples:.3f}  (temperature {args.temperature}, seeds {args.seed} to {args.seed + args.samples - 1})")
        k = 1
        while k < args.samples:
            k *= 2
            print(f"pass@{k:<3}      {sum(pass_at(k, g, args.samples) for g in good) / n:.3f}   "
                  f"majority of the first {k}: {sum(vote(a[:k]) == w for a, w in zip(answers, wanted)) / n:.3f}")
    if args.texts:
        with open(args.texts, "w", encoding="utf-8") as f:
            for i in range(n):
                json.dump({"question": questions[i], "answer": wanted[i], "greedy": greedy[i],
                           "samples": [s[i] for s in samples]}, f)
                f.write("\n")


if __name__ == "__main__":
    main()
