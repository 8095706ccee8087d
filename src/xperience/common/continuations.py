"""How likely a language model holds some continuations of one text, from the cache of that text."""

from collections.abc import Sequence
from typing import Any

import torch

Kept = Sequence[tuple[torch.Tensor, torch.Tensor]]


def log_probabilities(
    model: Any, kept: Kept, next_log: torch.Tensor, position: float, texts: Sequence[Sequence[int]]
) -> torch.Tensor:
    """(texts,) float64 on the CPU: the summed log probabilities of tokens behind one row's keys and values.

    `kept`: (heads, S, width) of every layer, not changed; `next_log` (vocabulary,) is what may come first, at
    `position` of all three axes of the rotary embedding.
    """
    from transformers import DynamicCache

    count, longest, device = len(texts), max(map(len, texts)), next_log.device
    cache = DynamicCache([(k.expand(count, -1, -1, -1), v.expand(count, -1, -1, -1)) for k, v in kept])
    inputs = torch.tensor([[*text, *[0] * (longest - len(text))] for text in texts], device=device)
    places = (torch.arange(longest, device=device) + position).expand(3, count, -1)
    mask = torch.ones(count, kept[0][0].shape[-2] + longest, dtype=torch.long, device=device)
    logits = model(input_ids=inputs, position_ids=places, attention_mask=mask, past_key_values=cache, use_cache=True)
    # The last token's own logits predict nothing that is asked for.
    following = logits.logits[:, :-1].float().log_softmax(-1).gather(-1, inputs[:, 1:, None])[..., 0]
    real = torch.arange(1, longest, device=device)[None] < torch.tensor([len(t) for t in texts], device=device)[:, None]
    found = next_log[inputs[:, 0]].double() + (following.double() * real).sum(-1)
    return found.cpu()
