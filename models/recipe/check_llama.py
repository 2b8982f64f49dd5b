"""Compares the GGUF with the checkpoint through llama.cpp: token ids, the rendered template, greedy answers.

    python3 check_llama.py run/last.pt ../abacus-q8_0.gguf --count 40
"""

import argparse
import json

import jinja2
import torch
from llama_cpp import Llama

from evaluate import final_answer, wilson
from generate import generate, load
from tokenizer import Tokenizer
from words import SYSTEMS


def render(llama, question, system=None):
    messages = ([{"role": "system", "content": system}] if system else []) + [{"role": "user", "content": question}]
    template = jinja2.Environment().from_string(llama.metadata["tokenizer.chat_template"])
    return template.render(messages=messages, bos_token="<|bos|>", add_generation_prompt=True)


def answer(llama, ids, most=160):
    out = llama.create_completion(ids, max_tokens=most, temperature=0.0, repeat_penalty=1.0)
    return out["choices"][0]["text"]


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("checkpoint")
    args.add_argument("gguf")
    args.add_argument("--tokenizer", default="tokenizer.json")
    args.add_argument("--data", default="../test.jsonl")
    args.add_argument("--count", type=int, default=40, help="problems whose answers are compared with the checkpoint's")
    args.add_argument("--all", action="store_true", help="answer the whole file with llama.cpp and print the accuracy")
    args = args.parse_args()
    torch.set_num_threads(1)
    tokenizer = Tokenizer.load(args.tokenizer)
    llama = Llama(args.gguf, n_ctx=512, n_threads=1, verbose=False)
    with open(args.data, encoding="utf-8") as f:
        rows = [json.loads(line) for line in f]

    texts = [r[k] for r in rows for k in ("question", "answer")] + SYSTEMS
    texts += ["  two  spaces", "tab\tand\n\nlines \n end ", "naïve café №5 ½ ²", "日本語 12,345.67", "it's we'll I'D", "🙂 ok", "x=1;y==2"]
    wrong = [t for t in texts if llama.tokenize(t.encode(), add_bos=False, special=False) != tokenizer.encode(t)]
    print(f"token ids: {len(texts) - len(wrong)} of {len(texts)} texts equal", *wrong[:3])
    for system in [None, SYSTEMS[0]]:
        same = [llama.tokenize(render(llama, r["question"], system).encode(), add_bos=False, special=True)
                == tokenizer.chat(r["question"], system) for r in rows]
        print(f"template {'with' if system else 'without'} system: {sum(same)} of {len(same)} prompts equal")

    if args.count:
        model, _ = load(args.checkpoint)
        mine = [tokenizer.decode(ids) for ids in generate(model, [tokenizer.chat(r["question"]) for r in rows[:args.count]])]
        theirs = [answer(llama, tokenizer.chat(r["question"])) for r in rows[:args.count]]
        same = sum(a == b for a, b in zip(mine, theirs))
        print(f"greedy answers: {same} of {args.count} equal (the checkpoint in F32 against the file)")
        for a, b in [(a, b) for a, b in zip(mine, theirs) if a != b][:2]:
            print("---", a, "--- llama.cpp:", b, sep="\n")
    if args.all:
        good = sum(final_answer(answer(llama, tokenizer.chat(r["question"]))) == final_answer(r["answer"]) for r in rows)
        low, high = wilson(good, len(rows))
        print(f"greedy accuracy of the GGUF in llama.cpp: {good / len(rows):.3f}  ({low:.3f} to {high:.3f})")


if __name__ == "__main__":
    main()
