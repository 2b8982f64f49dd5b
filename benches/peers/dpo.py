"""One DPO run beside PyTorch with peft and TRL's sigmoid loss: seconds per step and peak memory.

    python benches/peers/dpo.py MODEL.gguf PREFERENCES.jsonl [--ruminate target/release/ruminate] [--rounds 3] [--steps 6]

Needs torch, transformers, peft and gguf. The peer trains the same model dequantized to f32 by transformers, on the same pairs in
batches of the same size, with the same rank on the same matrices; its fastest setting counts: with and without gradient checkpointing. Rounds
alternate; a table of medians with their ranges and ratios is printed. The first step of either is left out: it warms up.
"""

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

BATCH, RANK = 4, 8


def peer(model_path, rows, steps, threads, checkpointing):
    """Runs in a process of its own, so that its peak memory is its own."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    path = pathlib.Path(model_path).resolve()
    load = {"gguf_file": path.name}
    tokenizer = AutoTokenizer.from_pretrained(path.parent, **load)
    model = AutoModelForCausalLM.from_pretrained(path.parent, dtype=torch.float32, **load)
    names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    model = get_peft_model(model, LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=names))
    if checkpointing:
        model.enable_input_require_grads()
        model.gradient_checkpointing_enable({"use_reentrant": False})
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, weight_decay=0.0)

    def ids(text):
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    def logprobs(batch):
        width = max(len(p) + len(c) for p, c in batch)
        tokens = torch.zeros(len(batch), width, dtype=torch.long)
        mask = torch.zeros(len(batch), width, dtype=torch.long)
        wanted = torch.zeros(len(batch), width, dtype=torch.bool)
        for i, (p, c) in enumerate(batch):
            tokens[i, : len(p) + len(c)] = torch.tensor(p + c)
            mask[i, : len(p) + len(c)] = 1
            wanted[i, len(p) : len(p) + len(c)] = True
        logits = model(input_ids=tokens, attention_mask=mask, use_cache=False).logits[:, :-1]
        # TRL's selective_log_softmax: gather, less the log-sum-exp.
        chosen = logits.gather(2, tokens[:, 1:].unsqueeze(-1)).squeeze(-1) - torch.logsumexp(logits, -1)
        return (chosen * wanted[:, 1:]).sum(1)

    seconds, losses, at = [], [], 0
    for _ in range(steps):
        pairs = [rows[(at + i) % len(rows)] for i in range(BATCH)]
        at += BATCH
        start = time.perf_counter()
        batch = [(ids(r["prompt"]), ids(r["chosen"]) + [tokenizer.eos_token_id]) for r in pairs]
        batch += [(ids(r["prompt"]), ids(r["rejected"]) + [tokenizer.eos_token_id]) for r in pairs]
        with torch.no_grad(), model.disable_adapter():
            reference = logprobs(batch)
        policy = logprobs(batch)
        ratio = policy - reference
        loss = -torch.nn.functional.logsigmoid(0.1 * (ratio[:BATCH] - ratio[BATCH:])).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - start)
        losses.append(loss.item())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "losses": losses, "peak": peak}))


def ours(binary, model, rows, steps, threads):
    with tempfile.TemporaryDirectory() as folder:
        data, out, log = (pathlib.Path(folder) / name for name in ("pairs.jsonl", "adapter.gguf", "log.jsonl"))
        data.write_text("".join(json.dumps(row) + "\n" for row in rows[: steps * BATCH]))
        command = [binary, "--json", "learn", "dpo", str(data), "--model", model, "--out", str(out), "--log", str(log)]
        command += ["--batch", str(BATCH), "--rank", str(RANK), "--threads", str(threads), "--max-pair-tokens", "4096", "--sft", "0"]
        result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        seconds, losses = [line["seconds"] for line in lines], [line["loss"] for line in lines]
        return {"seconds": seconds, "losses": losses, "peak": result["peak_rss_bytes"]}


def run_peer(args, checkpointing):
    command = [sys.executable, __file__, args.model, args.preferences, "--steps", str(args.steps), "--threads", str(args.threads)]
    command += ["--peer", "1" if checkpointing else "0"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(args.threads)}
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("preferences")
    parser.add_argument("--ruminate", default="target/release/ruminate")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--peer", choices=["0", "1"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    rows = [json.loads(line) for line in pathlib.Path(args.preferences).read_text().splitlines() if line.strip()]
    if args.peer:
        return peer(args.model, rows, args.steps, args.threads, args.peer == "1")
    engines = {
        "ruminate": lambda: ours(args.ruminate, args.model, rows, args.steps, args.threads),
        "torch": lambda: run_peer(args, False),
        "torch, checkpointing": lambda: run_peer(args, True),
    }
    found = {name: [] for name in engines}
    for _ in range(args.rounds):
        for name, run in engines.items():
            result = run()
            found[name].append((statistics.median(result["seconds"][1:]), result["peak"], result["losses"]))
    print(f"{args.model}: {args.threads} threads, {args.rounds} rounds, {args.steps} steps of {BATCH} pairs, rank {RANK} on all matrices")
    base_seconds = statistics.median(r[0] for r in found["ruminate"])
    base_peak = statistics.median(r[1] for r in found["ruminate"])
    for name, rounds in found.items():
        seconds, peak = [r[0] for r in rounds], statistics.median(r[1] for r in rounds)
        middle = statistics.median(seconds)
        print(
            f"{name:<22} {middle:7.2f} s/step [{min(seconds):.2f}..{max(seconds):.2f}] x{middle / base_seconds:.2f}"
            f"   peak {peak / 2**20:7.0f} MiB x{peak / base_peak:.2f}   first loss {rounds[0][2][0]:.6f}"
        )


if __name__ == "__main__":
    main()
