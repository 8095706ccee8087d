"""Answers of a model, decoded under the grammar in batches; probabilities of labels on one shared prefill."""

import copy
import json
from collections.abc import Sequence
from typing import Any

import torch

from xperience.qwen3_omni.collate import Row, padded, to_device
from xperience.qwen3_omni.grammar import AnswerGrammar, State
from xperience.qwen3_omni.prompt import quoted


def answers(model: Any, rows: Sequence[Row], grammar: AnswerGrammar, tokenizer: Any) -> list[dict[str, Any]]:
    """One valid answer per row (rows without answers), the likeliest token at each step."""
    device = next(model.parameters()).device
    batch = to_device(padded(rows, tokenizer.pad_token_id, left=True), device)
    batch.pop("labels")
    begin = batch["input_ids"].shape[1]
    states: list[State] = [grammar.start() for _ in rows]
    seen = [begin] * len(rows)
    ended = [False] * len(rows)

    def allowed(row: int, ids: torch.Tensor) -> list[int]:
        for token in ids[seen[row] :].tolist():
            ended[row] = ended[row] or token == grammar.end
            states[row] = grammar.advance(states[row], token)
        seen[row] = len(ids)
        return [tokenizer.pad_token_id] if ended[row] else grammar.allowed(states[row])

    with torch.no_grad():
        found = model.generate(
            **batch, max_new_tokens=grammar.longest, do_sample=False, num_beams=1, prefix_allowed_tokens_fn=allowed,
            eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        )  # fmt: skip
    texts = tokenizer.batch_decode(found[:, begin:], skip_special_tokens=True)
    return [json.loads(text) for text in texts]


def label_probabilities(
    model: Any, row: Row, field_opening: Sequence[int], labels: Sequence[str], ids: Any, *, cache_bytes: int = 2 << 30
) -> torch.Tensor:
    """(labels,) probabilities over the closed set, from one prefill of `row` (without answer) and the opening.

    A label's score is the sum of the log probabilities of its tokens, closing quote included. The cache of the prefill
    is repeated for as many labels at a time as `cache_bytes` hold.
    """
    device = next(model.parameters()).device
    batch = to_device(padded([row], 0), device)
    batch.pop("labels")
    batch.pop("attention_mask")
    opening = torch.tensor([list(field_opening)], device=device)
    batch["input_ids"] = torch.cat([batch["input_ids"], opening], 1)
    length = batch["input_ids"].shape[1]
    start = float(row.positions[1:].max()) + 1
    positions = row.positions[1:].to(device)
    tail = (torch.arange(opening.shape[1], device=device, dtype=torch.float32) + start).expand(3, -1)
    batch["position_ids"] = torch.cat([positions, tail], 1)[:, None, :]
    with torch.no_grad():
        first = model(**batch, use_cache=True)
        next_log = first.logits[0, -1].float().log_softmax(-1)
        cache = first.past_key_values
        of_one = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
        chunk = max(1, cache_bytes // of_one)
        tokens = [list(ids(quoted(label))) for label in labels]
        scores = [
            score
            for begin in range(0, len(tokens), chunk)
            for score in _chunk(model, cache, tokens[begin : begin + chunk], next_log, length, start + opening.shape[1])
        ]
    return torch.tensor(scores, dtype=torch.float64).softmax(-1)


def _chunk(
    model: Any, cache: Any, tokens: Sequence[Sequence[int]], next_log: torch.Tensor, length: int, start: float
) -> list[float]:
    """Summed log probabilities of some continuations of one prefill of `length` tokens."""
    device, longest = next_log.device, max(map(len, tokens))
    repeated = copy.deepcopy(cache)
    repeated.batch_repeat_interleave(len(tokens))
    inputs = torch.tensor([[*label, *[0] * (longest - len(label))] for label in tokens], device=device)
    positions = (torch.arange(longest, device=device, dtype=torch.float32) + start).expand(3, len(tokens), -1)
    mask = torch.ones(len(tokens), length + longest, dtype=torch.long, device=device)
    logits = model(
        input_ids=inputs, position_ids=positions, attention_mask=mask, past_key_values=repeated, use_cache=True
    ).logits.float().log_softmax(-1)  # fmt: skip
    return [
        float(next_log[label[0]]) + sum(float(logits[row, place, token]) for place, token in enumerate(label[1:]))
        for row, label in enumerate(tokens)
    ]
