"""Trains the model on the endless train side of the generator. Resumes from its checkpoint; a step's data depends
on seed and step alone.

    python3 train.py --out run
"""

import argparse
import json
import math
import os
import random
import sys
import time

import torch
import torch.nn.functional as F

from model import Config, Model
from problems import CHUNK_STEPS, TRAIN_SEED, TRAIN_STEPS, lessons
from tokenizer import END, Tokenizer


def example(tokenizer, problem, system):
    return tokenizer.chat(problem.question, system), tokenizer.encode(problem.solution) + [END]


def batches(tokenizer, seed, chunk):
    """The chunk's batches: rows of similar length, about the same number of ids in each, in random order."""
    rows = [example(tokenizer, problem, system) for problem, system in lessons(seed, chunk)]
    rows.sort(key=lambda r: len(r[0]) + len(r[1]))
    share = sum(len(p) + len(a) for p, a in rows) / CHUNK_STEPS
    out, batch, seen = [], [], 0
    for row in rows:
        batch.append(row)
        seen += len(row[0]) + len(row[1])
        if seen >= share * (len(out) + 1) and len(out) < CHUNK_STEPS - 1:
            out.append(pad(batch))
            batch = []
    out.append(pad(batch))
    random.Random(f"{seed}/{chunk}/order").shuffle(out)
    return out


def pad(rows):
    longest = max(len(p) + len(a) for p, a in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    targets = torch.full((len(rows), longest), -100)
    for i, (p, a) in enumerate(rows):
        ids[i, :len(p) + len(a)] = torch.tensor(p + a)
        targets[i, len(p) - 1:len(p) + len(a) - 1] = torch.tensor(a)   # only the answer is learned
    return ids, targets


def optimizers(model, lr):
    """Muon (https://kellerjordan.github.io/posts/muon/) for the matrices, AdamW for embedding and norms."""
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    rest = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    return [torch.optim.Muon(matrices, lr=lr, weight_decay=0.01, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(rest, lr=lr, betas=(0.9, 0.95), weight_decay=0.0)]


def rate(step, args):
    """Warm up, stay, then fall in a line to zero over the last part."""
    left = (args.steps - step) / (args.steps * args.decay)
    return args.lr * min(1.0, (step + 1) / args.warmup, left)


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--out", default="run")
    args.add_argument("--tokenizer", default="tokenizer.json")
    args.add_argument("--steps", type=int, default=1152, help="length of the schedule of the learning rate")
    args.add_argument("--stop", type=int, default=TRAIN_STEPS, help="stop after this step; training to the end leaves "
                      "little for search to win")
    args.add_argument("--lr", type=float, default=4e-3)
    args.add_argument("--warmup", type=int, default=60)
    args.add_argument("--decay", type=float, default=0.5, help="part of the steps over which the rate falls")
    args.add_argument("--layers", type=int, default=5)
    args.add_argument("--seed", type=int, default=TRAIN_SEED)
    args.add_argument("--threads", type=int, default=2)
    args.add_argument("--bf16", action="store_true")
    args = args.parse_args()

    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = Tokenizer.load(args.tokenizer)
    cfg = Config(vocab=len(tokenizer.tokens), layers=args.layers)
    model = Model(cfg).to(device)
    opts = optimizers(model, args.lr)
    os.makedirs(args.out, exist_ok=True)
    path = os.path.join(args.out, "last.pt")
    step, spent = 0, 0.0
    if os.path.exists(path):
        saved = torch.load(path, map_location=device)
        model.load_state_dict(saved["model"])
        for opt, state in zip(opts, saved["opts"]):
            opt.load_state_dict(state)
        step, spent = saved["step"], saved["spent"]
    print(f"{sum(p.numel() for p in model.parameters())} parameters on {device}, from step {step}", file=sys.stderr)
    log = open(os.path.join(args.out, "log.jsonl"), "a", encoding="utf-8")
    started, seen, mean = time.time() - spent, 0, None
    t0 = time.time()
    last = min(args.stop, args.steps)
    while step < last:
        for ids, targets in batches(tokenizer, args.seed, step // CHUNK_STEPS):
            ids, targets = ids.to(device), targets.to(device)
            for opt in opts:
                for group in opt.param_groups:
                    group["lr"] = rate(step, args)
            with torch.autocast(device, torch.bfloat16, enabled=args.bf16):
                hidden = model.hidden(ids)
                wanted = targets >= 0
                logits = model.logits(hidden[wanted])
            loss = F.cross_entropy(logits.float(), targets[wanted])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for opt in opts:
                opt.step()
                opt.zero_grad(set_to_none=True)
            value = loss.item()
            if not math.isfinite(value):
                raise SystemExit(f"step {step}: the loss is {value}; lower --lr")
            mean = value if mean is None else 0.95 * mean + 0.05 * value
            step += 1
            seen += ids.numel()
            if step % 10 == 0:
                speed = seen / (time.time() - t0)
                print(f"step {step}/{last} loss {mean:.4f} {speed:.0f} tokens/s", file=sys.stderr, flush=True)
                json.dump({"step": step, "loss": round(mean, 4), "tokens_s": round(speed)}, log)
                log.write("\n")
                log.flush()
            if step >= last:
                break
        if step // CHUNK_STEPS % 6 == 0 or step >= last:
            save(path, model, opts, step, time.time() - started, cfg)


def save(path, model, opts, step, spent, cfg):
    """Only between chunks, or at the end: a resumed run then sees the same batches as an uninterrupted one."""
    torch.save({"model": model.state_dict(), "opts": [o.state_dict() for o in opts], "step": step, "spent": spent,
                "config": cfg.as_dict()}, path + ".part")
    os.replace(path + ".part", path)


if __name__ == "__main__":
    main()
