"""Writes a checkpoint as GGUF: Q8_0 matrices, F32 norms, the whole tokenizer and the chat template.

    python3 export.py run/last.pt --out ../abacus-q8_0.gguf
"""

import argparse

import gguf
import numpy
import torch
from gguf import GGMLQuantizationType as Type
from gguf import TokenType

from tokenizer import BOS, END, SPECIAL, Tokenizer

# Renders what train.py reads: no newlines, no spaces between the parts.
TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ '<|assistant|>' + message['content'] + '<|end|>' }}"
    "{% elif message['role'] in ['system', 'user'] %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] | trim + '<|end|>' }}"
    "{% else %}{{ raise_exception('a role other than system, user and assistant: ' + message['role']) }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def neighbouring_pairs(weight, heads):
    """Rows of Q or K from RoPE pairs (i, i + half) to pairs (2i, 2i + 1), which GGUF's `llama` expects."""
    rows, width = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, width).swapaxes(1, 2).reshape(rows, width)


def tensors(state, cfg):
    """(GGUF name, array) in file order; the output matrix is the embedding."""
    get = lambda name: state[name].float().numpy()
    yield "token_embd.weight", get("embed.weight")
    for i in range(cfg["layers"]):
        old, new = f"blocks.{i}.", f"blk.{i}."
        yield new + "attn_norm.weight", get(old + "attn_norm.weight")
        yield new + "attn_q.weight", neighbouring_pairs(get(old + "attn.q.weight"), cfg["heads"])
        yield new + "attn_k.weight", neighbouring_pairs(get(old + "attn.k.weight"), cfg["kv_heads"])
        yield new + "attn_v.weight", get(old + "attn.v.weight")
        yield new + "attn_output.weight", get(old + "attn.o.weight")
        yield new + "ffn_norm.weight", get(old + "ffn_norm.weight")
        yield new + "ffn_gate.weight", get(old + "gate.weight")
        yield new + "ffn_up.weight", get(old + "up.weight")
        yield new + "ffn_down.weight", get(old + "down.weight")
    yield "output_norm.weight", get("norm.weight")


def write(path, state, cfg, tokenizer, exact=False):
    w = gguf.GGUFWriter(path, "llama")
    w.add_name("Abacus")
    w.add_author("The ruminate authors")
    w.add_version("1")
    w.add_description("Grade-school arithmetic word problems, one step per line; trained on generated problems only.")
    w.add_license("MIT OR Apache-2.0")
    w.add_size_label(f"{sum(a.size for _, a in tensors(state, cfg)) / 1e6:.1f}M")
    w.add_languages(["en"])
    w.add_tags(["text-generation", "arithmetic"])
    w.add_file_type(gguf.LlamaFileType.ALL_F32 if exact else gguf.LlamaFileType.MOSTLY_Q8_0)
    w.add_quantization_version(gguf.GGML_QUANT_VERSION)
    w.add_vocab_size(cfg["vocab"])
    w.add_context_length(cfg["context"])
    w.add_embedding_length(cfg["width"])
    w.add_block_count(cfg["layers"])
    w.add_feed_forward_length(cfg["ffn"])
    w.add_head_count(cfg["heads"])
    w.add_head_count_kv(cfg["kv_heads"])
    w.add_key_length(cfg["head_dim"])
    w.add_value_length(cfg["head_dim"])
    w.add_rope_dimension_count(cfg["head_dim"])
    w.add_rope_freq_base(cfg["rope_base"])
    w.add_layer_norm_rms_eps(cfg["eps"])
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("smollm")
    w.add_token_list(tokenizer.tokens)
    w.add_token_types([TokenType.CONTROL if i < len(SPECIAL) else TokenType.NORMAL for i in range(len(tokenizer.tokens))])
    w.add_token_merges([" ".join(m) for m in tokenizer.merges])
    w.add_bos_token_id(BOS)
    w.add_eos_token_id(END)
    w.add_eot_token_id(END)
    w.add_add_bos_token(False)       # the template writes it
    w.add_add_eos_token(False)
    w.add_chat_template(TEMPLATE)
    for name, array in tensors(state, cfg):
        if exact or array.ndim == 1:
            w.add_tensor(name, array.astype(numpy.float32))
        else:
            w.add_tensor(name, gguf.quants.quantize(array, Type.Q8_0), raw_dtype=Type.Q8_0)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("checkpoint")
    args.add_argument("--tokenizer", default="tokenizer.json")
    args.add_argument("--out", default="../abacus-q8_0.gguf")
    args.add_argument("--exact", action="store_true", help="F32 throughout, to compare implementations")
    args = args.parse_args()
    saved = torch.load(args.checkpoint, map_location="cpu")
    write(args.out, saved["model"], saved["config"], Tokenizer.load(args.tokenizer), args.exact)
    reader = gguf.GGUFReader(args.out)
    print(f"{args.out}: step {saved['step']}, {len(reader.tensors)} tensors, {sum(t.n_bytes for t in reader.tensors)} bytes of weights")


if __name__ == "__main__":
    main()
