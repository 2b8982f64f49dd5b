"""Batched decoding with a KV cache, greedy or sampled."""

import torch

from tokenizer import END

HIDDEN = -1e9        # finite, so that rows of padding stay numbers


def load(path, device="cpu"):
    from model import Config, Model
    saved = torch.load(path, map_location=device)
    model = Model(Config(**saved["config"])).to(device)
    model.load_state_dict(saved["model"])
    return model.eval(), saved["step"]


@torch.no_grad()
def generate(model, prompts, temperature=0.0, seed=0, most=160):
    """Continues each prompt (a list of ids) up to `<|end|>` or `most` tokens; returns the new ids without it."""
    device = model.embed.weight.device
    random = torch.Generator(device).manual_seed(seed)
    longest = max(map(len, prompts))
    pad = torch.tensor([longest - len(p) for p in prompts], device=device)
    ids = torch.tensor([[0] * (longest - len(p)) + p for p in prompts], device=device)
    place = torch.arange(longest + most, device=device)
    hide = torch.where(place < pad[:, None], HIDDEN, 0.0)[:, None, None, None]      # the padding on the left
    causal = torch.full((longest, longest), HIDDEN, device=device).triu(1)
    caches = [[] for _ in model.blocks]
    positions = (place[:longest] - pad[:, None]).clamp(min=0)
    hidden = model.hidden(ids, positions, hide[..., :longest] + causal, caches)[:, -1]
    out = [[] for _ in prompts]
    open_rows = set(range(len(prompts)))
    for n in range(most):
        logits = model.logits(hidden)
        if temperature > 0:
            chosen = torch.multinomial((logits / temperature).softmax(-1), 1, generator=random)
        else:
            chosen = logits.argmax(-1, keepdim=True)
        for i, token in enumerate(chosen[:, 0].tolist()):
            if i in open_rows:
                if token == END:
                    open_rows.discard(i)
                else:
                    out[i].append(token)
        if not open_rows:
            break
        at = longest + n
        hidden = model.hidden(chosen, (at - pad)[:, None], hide[..., :at + 1], caches)[:, -1]
    return out
