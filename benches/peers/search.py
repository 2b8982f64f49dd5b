#!/usr/bin/env python3
"""Times best-of-n on one question beside one request with n completions to llama.cpp's server, alternating, and prints the
ratio of their times. README.md beside this file says what is compared."""

import argparse
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from engines import CMAKE, ROOT, TIMEOUT_S, build, cargo_metadata, fail, run
from run import machine, spread

# Row 0 of GSM8K's test set (MIT licence).
QUESTION = (
    "Janet\u2019s ducks lay 16 eggs per day. She eats three for breakfast every morning and bakes muffins for her friends every "
    "day with four. She sells the remainder at the farmers' market daily for $2 per fresh duck egg. How much in dollars does "
    "she make every day at the farmers' market?"
)
# The parts that the server needs beside the libraries.
SERVER_PARTS = ("COMMON", "TOOLS", "SERVER")


class Ruminate:
    name = "ruminate"

    def __init__(self, args, target):
        build(["cargo", "build", "--release", "--bin", "ruminate", "--manifest-path", ROOT / "Cargo.toml"])
        self.command = [target / "release" / "ruminate", "bench", "search", "--json", "--model", args.model]
        self.command += ["--threads", args.threads, "--algo", "best-of-n", "--n", args.n, "--max-tokens", args.tokens]
        self.command += ["--temp", args.temp, "--question", args.question, "--runs", 1, "--endless", *args.flags]

    def seconds(self, seed):
        """Of one whole search: prompt, samples, answers and vote."""
        self.result = json.loads(run([*self.command, "--seed", seed]).stdout)[0]
        return self.result["wall_ms"] / 1e3

    def prompt(self):
        self.seconds(0)
        return self.result["prompts"][0]

    def tokens(self):
        return int(self.result["policy_tokens"])


class Server:
    """llama.cpp's server, running for as long as the comparison takes; its prompt is cached before anything is timed."""

    name = "llama-server"

    def __init__(self, args, program, prompt):
        self.prompt, self.args = prompt, args
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        # One slot per completion over one KV buffer, so that the prompt is kept once.
        context = len(prompt) + args.n * (args.tokens + 1) + 256
        flags = ["-m", args.model, "-t", args.threads, "-tb", args.threads, "-np", args.n, "-c", context, "-kvu"]
        flags += ["--host", "127.0.0.1", "--port", self.port, "--no-webui"]
        command = [str(part) for part in [program, *flags]]
        # Beside the program lie its libraries.
        env = {**os.environ, "LD_LIBRARY_PATH": str(program.parent)}
        self.process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        end = time.monotonic() + 300
        while True:
            if self.process.poll() is not None:
                fail(f"llama-server ended with exit code {self.process.returncode} before it was ready")
            with contextlib.suppress(OSError, urllib.error.URLError):
                if self.ask("/health"):
                    return self
            if time.monotonic() > end:
                self.process.kill()
                fail("llama-server was not ready within 5 minutes")
            time.sleep(0.2)

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def ask(self, path, document=None):
        data = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            return json.load(answer)

    def complete(self, n, tokens, seed):
        document = {"prompt": self.prompt, "n_predict": tokens, "temperature": self.args.temp, "seed": seed}
        document |= {"ignore_eos": True, "cache_prompt": True, "n_cmpl": n}
        answer = self.ask("/completion", document)
        return answer if isinstance(answer, list) else [answer]

    def seconds(self, seed):
        start = time.monotonic()
        self.result = self.complete(self.args.n, self.args.tokens, seed)
        return time.monotonic() - start

    def tokens(self):
        return sum(one["tokens_predicted"] for one in self.result)


def program(args, target):
    """The server: as given, or built from a whole checkout of llama.cpp; the crate's source leaves the server out."""
    if args.server:
        return args.server.resolve()
    folder = target / "peers" / "server"
    flags = [flag for flag in CMAKE if not any(flag == f"-DLLAMA_BUILD_{part}=OFF" for part in SERVER_PARTS)]
    flags += [f"-DLLAMA_BUILD_{part}=ON" for part in SERVER_PARTS] + ["-DGGML_NATIVE=ON"]
    # Neither a web page nor downloads.
    flags += [f"-DLLAMA_{part}=OFF" for part in ("BUILD_UI", "USE_PREBUILT_UI", "OPENSSL")]
    build(["cmake", "-S", args.source, "-B", folder, *flags])
    build(["cmake", "--build", folder, "--target", "llama-server", "--parallel", os.cpu_count() or 1])
    return folder / "bin" / "llama-server"


def measure(args, ruminate, server):
    """Seconds of each, per round; forth and back, so that a drift of the machine favours nobody."""
    rounds = []
    for i in range(args.rounds):
        pair = {}
        for engine in (ruminate, server) if i % 2 == 0 else (server, ruminate):
            pair[engine.name] = engine.seconds(i + 1)
            if engine.tokens() != args.n * args.tokens:
                fail(f"{engine.name} drew {engine.tokens()} tokens instead of {args.n * args.tokens}")
        print(f"round {i + 1}: " + ", ".join(f"{name} {s:.2f} s" for name, s in pair.items()), file=sys.stderr, flush=True)
        rounds.append(pair)
    return rounds


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, metavar="MODEL.gguf")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--server", type=Path, metavar="FILE", help="a built llama-server")
    where.add_argument("--source", type=Path, metavar="DIR", help="a checkout of llama.cpp, to build the server from")
    parser.add_argument("--n", type=int, default=16, help="samples (16)")
    parser.add_argument("--tokens", type=int, default=128, help="tokens of each (128)")
    parser.add_argument("--temp", type=float, default=0.8, help="temperature of both; other sampling is each engine's own (0.8)")
    parser.add_argument("--threads", type=int, default=2, help="threads of both (2)")
    parser.add_argument("--rounds", type=int, default=5, help="searches of each (5)")
    parser.add_argument("--question", default=QUESTION, help="the question (the first of GSM8K's test set)")
    parser.add_argument("--flags", default="", help="further flags of `ruminate bench search`, with spaces between them")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of text")
    args = parser.parse_args()
    if min(args.n, args.tokens, args.threads, args.rounds) < 1:
        parser.error("--n, --tokens, --threads and --rounds count from 1")
    if not args.model.is_file():
        parser.error(f"no such file: {args.model}")
    args.model, args.flags = args.model.resolve(), args.flags.split()
    return args


def main():
    args = parse()
    target = Path(cargo_metadata(ROOT / "Cargo.toml", "--no-deps")["target_directory"])
    ruminate = Ruminate(args, target)
    prompt = ruminate.prompt()
    with Server(args, program(args, target), prompt) as server:
        # Unmeasured: the prompt gets into the cache, and every slot's buffers are touched.
        server.complete(1, 1, 0)
        server.complete(args.n, 2, 0)
        rounds = measure(args, ruminate, server)
    ratio = spread([pair[Ruminate.name] / pair[Server.name] for pair in rounds])
    engines = {name: spread([pair[name] for pair in rounds]) for name in (Ruminate.name, Server.name)}
    if args.json:
        settings = {key: getattr(args, key) for key in ("n", "tokens", "temp", "threads", "rounds")}
        result = {"machine": machine(), "model": args.model.name, **settings, "prompt_tokens": len(prompt)}
        print(json.dumps({**result, "seconds": engines, "ratio": ratio, "by_round": rounds}, indent=1))
        return
    print(f"{args.model.name}: {args.n} samples of {args.tokens} tokens after {len(prompt)}, {args.threads} threads")
    for name, s in engines.items():
        rate = args.n * args.tokens / s["median"]
        print(f"{name:<14} {s['median']:>7.2f} s [{s['min']:.2f}..{s['max']:.2f}] {rate:>7.1f} tok/s")
    print(f"time of {Ruminate.name} to {Server.name}: x{ratio['median']:.2f} [{ratio['min']:.2f}..{ratio['max']:.2f}]")


if __name__ == "__main__":
    main()
