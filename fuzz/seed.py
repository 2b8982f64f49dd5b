#!/usr/bin/env python3
"""Writes the seeds of the fuzz target gguf_open into fuzz/corpus/gguf_open: small sound files of every kind.

    python3 fuzz/seed.py && cargo +nightly fuzz run gguf_open -- -dict=fuzz/gguf.dict -max_len=4096
"""
import math
import pathlib
import shutil
import struct

HERE = pathlib.Path(__file__).resolve().parent
OUT = HERE / "corpus" / "gguf_open"

# ggml type -> (elements, bytes) of a block.
TYPES = {0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 10: (256, 84), 11: (256, 110),
         12: (256, 144), 13: (256, 176), 14: (256, 210), 20: (32, 18), 23: (256, 136), 30: (1, 2)}
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


def text(s):
    return struct.pack("<Q", len(s.encode())) + s.encode()


def entry(key, ty, value):
    return text(key) + struct.pack("<I", ty) + value


def file(entries=(), tensors=(), alignment=32, version=3):
    out = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(entries)) + b"".join(entries)
    data = b""
    for i, (dims, ty) in enumerate(tensors):
        elements, size = TYPES[ty]
        n = math.prod(dims) // elements * size
        out += text(f"blk.{i}.t.weight") + struct.pack("<I", len(dims)) + struct.pack(f"<{len(dims)}Q", *dims)
        out += struct.pack("<IQ", ty, len(data))
        data += (bytes(range(1, 256)) * (n // 255 + 1))[:n]
        data += bytes(-len(data) % alignment)
    return out + bytes(-len(out) % alignment) + data


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    golden = HERE.parent / "tests" / "fixtures" / "gguf_golden.gguf"
    shutil.copy(golden, OUT / "golden")
    seeds = {"empty": file(), "version_2": file(version=2)}
    for ty, code in SCALARS.items():
        seeds[f"scalar_{ty}"] = file([entry("k", ty, struct.pack("<" + code, 1))])
        array = struct.pack("<IQ", ty, 3) + struct.pack(f"<3{code}", 1, 0, 1)
        seeds[f"array_{ty}"] = file([entry("k", 9, array)])
    strs = struct.pack("<IQ", 8, 3) + text("a") + text("") + text("ü")
    seeds["strings"] = file([entry("k", 8, text("hello")), entry("v", 9, strs)])
    seeds["alignment"] = file([entry("general.alignment", 4, struct.pack("<I", 64))], [([3], 0), ([5], 0)], 64)
    seeds["split"] = file([entry("split.no", 2, b"\0\0"), entry("split.count", 2, b"\1\0")], [([1], 0)])
    seeds["dims"] = file([], [([2, 2, 2, 2], 0), ([], 1), ([4, 2], 30)])
    for ty, (elements, _) in TYPES.items():
        seeds[f"tensor_{ty}"] = file([], [([elements, 2], ty)])
    for name, content in seeds.items():
        (OUT / name).write_bytes(content)
    print(f"{len(seeds) + 1} seeds in {OUT}")


main()
