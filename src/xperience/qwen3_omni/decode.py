"""Answers of a model under the grammar, in batches, and probabilities of labels, both from one prefill."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from xperience.common.continuations import log_probabilities
from xperience.qwen3_omni.collate import Row, padded, to_device
from xperience.qwen3_omni.grammar import AnswerGrammar, State
from xperience.qwen3_omni.prompt import quoted

SCORED = "action"
MIB = 1 << 20


@dataclass(frozen=True)
class Answered:
    """An answer of the grammar; `chances` (labels,) are those of its first field over `grammar.values[SCORED]`."""

    answer: dict[str, Any]
    chances: torch.Tensor | None


@dataclass
class Prefill:
    """Prompts of B rows and the tokens that every answer begins with: caches, and what may come next.

    `next_log` (B, vocabulary) float32 log probabilities, `mask` (B, S) of the cache, `positions` (B,) of what comes.
    """

    cache: Any
    next_log: torch.Tensor
    mask: torch.Tensor
    positions: torch.Tensor


def answers(
    model: Any, rows: Sequence[Row], grammar: AnswerGrammar, tokenizer: Any, *, score_bytes: int | None = None
) -> list[Answered]:
    """One valid answer per row (rows without answers): the likeliest token wherever the grammar leaves a choice.

    Tokens without a choice are not asked for, they go in together with those behind them. Answers are those of
    `generate` with `prefix_allowed_tokens_fn`, in as many passes as the answer with the most choices has. Labels are
    scored where `score_bytes` say in how much memory.
    """
    state = grammar.start()
    opening: list[int] = []
    while state.slot == 0:  # no further, though all labels may begin alike: they are scored behind it, whole
        opening += grammar.allowed(state)
        state = grammar.advance(state, opening[-1])
    with torch.no_grad():
        prefill = prefill_of(model, rows, opening, tokenizer.pad_token_id)
        chances = [
            None
            if score_bytes is None
            else label_probabilities(model, prefill, place, _tokens_of(grammar), score_bytes=score_bytes)
            for place in range(len(rows))
        ]
        written = _walk(model, prefill, grammar, [state] * len(rows), tokenizer.pad_token_id)
    texts = tokenizer.batch_decode([[*opening, *tokens] for tokens in written], skip_special_tokens=True)
    return [Answered(json.loads(text), chance) for text, chance in zip(texts, chances, strict=True)]


def prefill_of(model: Any, rows: Sequence[Row], opening: Sequence[int], pad_id: int) -> Prefill:
    """One pass over all prompts, padded on the left, and the opening; logits of the last token alone."""
    device = next(model.parameters()).device
    batch = padded(rows, pad_id, left=True)
    batch.pop("labels")
    count, length = len(rows), len(opening)
    starts = torch.tensor([float(row.positions[1:].max()) + 1 for row in rows])
    tail = (torch.arange(length, dtype=torch.float32) + starts[:, None]).expand(3, -1, -1)
    places = torch.ones(3, *batch["input_ids"].shape, dtype=torch.float32)
    for number, row in enumerate(rows):
        places[:, number, -len(row.ids) :] = row.positions[1:]
    batch["input_ids"] = torch.cat([batch["input_ids"], torch.tensor([list(opening)] * count)], 1)
    batch["attention_mask"] = torch.cat([batch["attention_mask"], torch.ones(count, length, dtype=torch.long)], 1)
    batch["position_ids"] = torch.cat([places, tail], 2)
    batch = to_device(batch, device)
    with _last_logits(model, torch.full((count,), batch["input_ids"].shape[1] - 1, device=device)):
        found = model(**batch, use_cache=True)
    return Prefill(
        found.past_key_values, found.logits[:, 0].float().log_softmax(-1), batch["attention_mask"],
        (starts + length).to(device),
    )  # fmt: skip


def _walk(
    model: Any, prefill: Prefill, grammar: AnswerGrammar, states: list[State], pad_id: int
) -> list[list[int]]:  # fmt: skip
    """Tokens behind the opening, per row, without the end. Chunks are padded on the right, the mask skips the holes."""
    device = prefill.next_log.device
    written: list[list[int]] = [[] for _ in states]
    logits, mask, positions = prefill.next_log, prefill.mask, prefill.positions.clone()
    while not all(grammar.done(state) for state in states):
        chunks: list[list[int]] = []
        for row, state in enumerate(states):
            if grammar.done(state):
                chunks.append([])
                continue
            allowed = grammar.allowed(state)
            token = allowed[int(logits[row, torch.tensor(allowed, device=device)].argmax())]
            states[row], forced = _forced(grammar, grammar.advance(state, token))
            chunks.append([token, *forced])
            written[row] += chunks[-1]
        if all(grammar.done(state) for state in states):
            break
        longest = max(map(len, chunks))
        count = torch.tensor([len(chunk) for chunk in chunks], device=device)
        steps = torch.arange(longest, device=device)
        mask = torch.cat([mask, (steps[None] < count[:, None]).long()], 1)
        inputs = torch.tensor([[*chunk, *[pad_id] * (longest - len(chunk))] for chunk in chunks], device=device)
        with _last_logits(model, (count - 1).clamp(min=0)):
            logits = model(
                input_ids=inputs, position_ids=(positions[:, None] + steps).expand(3, -1, -1), attention_mask=mask,
                past_key_values=prefill.cache, use_cache=True,
            ).logits[:, 0]  # fmt: skip
        positions = positions + count
    return written


def _forced(grammar: AnswerGrammar, state: State) -> tuple[State, list[int]]:
    """Go on while there is no choice: the state with one, or the end, and the tokens on the way."""
    tokens: list[int] = []
    while not grammar.done(state) and len(allowed := grammar.allowed(state)) == 1:
        tokens.append(allowed[0])
        state = grammar.advance(state, allowed[0])
    return state, tokens


def _tokens_of(grammar: AnswerGrammar) -> list[list[int]]:
    return [list(grammar.ids(quoted(label))) for label in grammar.values[SCORED]]


def kv_bytes_per_token(text_config: Any, dtype: torch.dtype) -> int:
    """Keys and values of all layers: 98,304 bytes of the real model in bfloat16."""
    of_layer = 2 * text_config.num_key_value_heads * text_config.head_dim * dtype.itemsize
    return int(text_config.num_hidden_layers * of_layer)


def labels_at_once(text_config: Any, dtype: torch.dtype, *, prompt: int, longest: int, score_bytes: int) -> int:
    """Labels that `score_bytes` hold: a copy of the cache for each, and its float32 logits twice; at least one."""
    of_one = kv_bytes_per_token(text_config, dtype) * (prompt + longest) + 2 * 4 * longest * text_config.vocab_size
    return max(1, score_bytes // int(of_one))


def label_probabilities(
    model: Any, prefill: Prefill, row: int, labels: Sequence[Sequence[int]], *, score_bytes: int
) -> torch.Tensor:
    """(labels,) probabilities over the closed set, given as tokens with the closing quote, behind a prefill's row.

    A label's score is the sum of the log probabilities of its tokens; the softmax over all makes them sum to 1. The
    row's cache is copied for as many labels at a time as `score_bytes` hold.
    """
    real = prefill.mask[row].bool()
    kept = [(layer.keys[row, :, real], layer.values[row, :, real]) for layer in prefill.cache.layers]
    config = model.config.get_text_config()
    most = labels_at_once(
        config, kept[0][0].dtype, prompt=int(real.sum()), longest=max(map(len, labels)), score_bytes=score_bytes
    )
    # Labels of about equal length side by side: little padding.
    order = sorted(range(len(labels)), key=lambda number: len(labels[number]))
    scores = torch.zeros(len(labels), dtype=torch.float64)
    for begin in range(0, len(order), most):
        numbers = order[begin : begin + most]
        some = [labels[number] for number in numbers]
        scores[numbers] = log_probabilities(model, kept, prefill.next_log[row], float(prefill.positions[row]), some)
    return scores.softmax(-1)


@contextmanager
def _last_logits(model: Any, places: torch.Tensor) -> Iterator[None]:
    """Project one position per row: logits are (B, 1, vocabulary) instead of those of whole prompts."""
    head = next(module for name, module in model.named_modules() if name.split(".")[-1] == "lm_head")

    def chosen(_module: Any, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor]:
        hidden = arguments[0]
        return (hidden[torch.arange(len(hidden), device=hidden.device), places][:, None],)

    hook = head.register_forward_pre_hook(chosen)
    try:
        yield
    finally:
        hook.remove()
