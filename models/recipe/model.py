"""A small decoder in the form of GGUF's `llama` architecture."""

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass
class Config:
    vocab: int = 1024
    context: int = 512
    width: int = 256
    layers: int = 5
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 64
    ffn: int = 640
    rope_base: float = 10000.0
    eps: float = 1e-5

    def as_dict(self):
        return asdict(self)


class RmsNorm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x):
        return F.rms_norm(x, (x.shape[-1],), self.weight, self.eps)


def rope_table(cfg):
    freq = cfg.rope_base ** (-torch.arange(0, cfg.head_dim, 2).float() / cfg.head_dim)
    angle = torch.arange(cfg.context).float()[:, None] * freq
    return angle.cos(), angle.sin()


def rope(x, cos, sin):
    """Rotates pairs (i, i + head_dim / 2); the export reorders the rows of Q and K to the neighbouring pairs of GGUF's
    `llama`. RoFormer, https://arxiv.org/abs/2104.09864."""
    a, b = x.float().chunk(2, -1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), -1).to(x.dtype)


class Attention(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.cfg = cfg
        self.q = nn.Linear(cfg.width, cfg.heads * cfg.head_dim, bias=False)
        self.k = nn.Linear(cfg.width, cfg.kv_heads * cfg.head_dim, bias=False)
        self.v = nn.Linear(cfg.width, cfg.kv_heads * cfg.head_dim, bias=False)
        self.o = nn.Linear(cfg.heads * cfg.head_dim, cfg.width, bias=False)

    def forward(self, x, cos, sin, mask, cache):
        n, t, _ = x.shape
        split = lambda y: y.view(n, t, -1, self.cfg.head_dim).transpose(1, 2)
        q, k, v = rope(split(self.q(x)), cos, sin), rope(split(self.k(x)), cos, sin), split(self.v(x))
        if cache is not None:
            if cache:
                k, v = torch.cat((cache[0], k), 2), torch.cat((cache[1], v), 2)
            cache[:] = [k, v]
        # The heads of a group are stacked along the rows, so K and V are not repeated. Written out: at these lengths
        # PyTorch's fused attention spends several times as long on a CPU.
        group, d = self.cfg.heads // self.cfg.kv_heads, self.cfg.head_dim
        scores = (q * d ** -0.5).reshape(n, -1, group * t, d) @ k.transpose(2, 3)
        scores = scores.view(n, -1, group, t, k.shape[2]) + mask
        y = (scores.softmax(-1).view(n, -1, group * t, k.shape[2]).to(v.dtype) @ v).view(n, -1, t, d)
        return self.o(y.transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.attn_norm, self.ffn_norm = RmsNorm(cfg.width, cfg.eps), RmsNorm(cfg.width, cfg.eps)
        self.attn = Attention(cfg)
        self.gate = nn.Linear(cfg.width, cfg.ffn, bias=False)
        self.up = nn.Linear(cfg.width, cfg.ffn, bias=False)
        self.down = nn.Linear(cfg.ffn, cfg.width, bias=False)

    def forward(self, x, cos, sin, mask, cache):
        x = x + self.attn(self.attn_norm(x), cos, sin, mask, cache)
        h = self.ffn_norm(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


class Model(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.cfg = cfg
        self.embed = nn.Embedding(cfg.vocab, cfg.width)
        self.blocks = nn.ModuleList(Block(cfg) for _ in range(cfg.layers))
        self.norm = RmsNorm(cfg.width, cfg.eps)
        cos, sin = rope_table(cfg)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        nn.init.normal_(self.embed.weight, std=0.02)
        for block in self.blocks:
            for m in (block.attn.q, block.attn.k, block.attn.v, block.gate, block.up):
                nn.init.normal_(m.weight, std=cfg.width ** -0.5)
            for m in (block.attn.o, block.down):
                nn.init.normal_(m.weight, std=(m.in_features * 2 * cfg.layers) ** -0.5)

    def hidden(self, ids, positions=None, mask=None, caches=None):
        """(n, t) token ids -> (n, t, width) final-norm states. Without positions and a mask (added to the scores), plain
        causal attention from position 0."""
        if mask is None:
            t = ids.shape[1]
            mask = torch.full((t, t), float("-inf"), device=ids.device).triu(1)
        if positions is None:
            cos, sin = self.cos[:ids.shape[1]], self.sin[:ids.shape[1]]
        else:
            cos, sin = self.cos[positions][:, None], self.sin[positions][:, None]
        x = self.embed(ids)
        for i, block in enumerate(self.blocks):
            x = block(x, cos, sin, mask, None if caches is None else caches[i])
        return self.norm(x)

    def logits(self, hidden):
        return hidden @ self.embed.weight.T
