"""Answers of the reasoner under a form: valid by construction, with the probability of every choice."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from xperience.common.continuations import log_probabilities
from xperience.cosmos3_nano.answers import Choice, Form, FreeText
from xperience.cosmos3_nano.reasoner import Reasoner, inputs_of

# Each choice that is scored at once holds a copy of the prompt's cache: 0.3 GB of Nano at 512 pixels.
AT_ONCE = 16


@dataclass
class Answered:
    """An answer; `chances` by choice, over its texts in order; `cut` names free texts that the limit ended."""

    text: str = ""
    chances: dict[str, list[float]] = field(default_factory=dict)
    cut: list[str] = field(default_factory=list)

    @property
    def answer(self) -> dict[str, Any]:
        """Its JSON."""
        found: dict[str, Any] = json.loads(self.text)
        return found


class _Row:
    """A text that goes on: keys and values, log probabilities of what may come next, and its place."""

    def __init__(self, model: Any, inputs: dict[str, torch.Tensor]) -> None:
        self.model, self.device = model, next(model.parameters()).device
        given = {name: value.to(self.device) for name, value in inputs.items()}
        positions, _ = model.model.get_rope_index(
            given["input_ids"], given["mm_token_type_ids"], video_grid_thw=given["video_grid_thw"],
            attention_mask=given["attention_mask"],
        )  # fmt: skip
        self.position = int(positions.max()) + 1
        found = model(**given, position_ids=positions, use_cache=True, logits_to_keep=1)
        self.cache, self.length = found.past_key_values, given["input_ids"].shape[1]
        self.next_log = found.logits[0, -1].float().log_softmax(-1)

    def add(self, tokens: Sequence[int]) -> None:
        """Go on by some tokens."""
        count = len(tokens)
        places = torch.arange(self.position, self.position + count, device=self.device).expand(3, 1, -1)
        mask = torch.ones(1, self.length + count, dtype=torch.long, device=self.device)
        found = self.model(
            input_ids=torch.tensor([list(tokens)], device=self.device), position_ids=places, attention_mask=mask,
            past_key_values=self.cache, use_cache=True, logits_to_keep=1,
        )  # fmt: skip
        self.position, self.length = self.position + count, self.length + count
        self.next_log = found.logits[0, -1].float().log_softmax(-1)

    def chances(self, texts: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """(texts,) probabilities of continuations, one of which it has to be."""
        kept = [(layer.keys[0], layer.values[0]) for layer in self.cache.layers]
        parts = [
            log_probabilities(self.model, kept, self.next_log, self.position, texts[first : first + AT_ONCE])
            for first in range(0, len(texts), AT_ONCE)
        ]
        return np.asarray(torch.cat(parts).softmax(-1).numpy())


def answer(
    reasoner: Reasoner, frames: NDArray[np.uint8], fps: float, question: str, form: Form, *, most_tokens: int
) -> Answered:
    """Ask of a clip (T, H, W, 3): of choices the likeliest, of free text the likeliest token, `most_tokens` at most."""
    found, tokenizer = Answered(), reasoner.tokenizer

    def ids(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    with torch.no_grad():
        row = _Row(reasoner.model, inputs_of(tokenizer, frames, fps, question))
        for number, part in enumerate(form):
            if isinstance(part, Choice):
                tokens = [ids(text) for text in part.texts]
                chances = row.chances(tokens)
                best = int(chances.argmax())
                found.chances[part.name], found.text = chances.tolist(), found.text + part.texts[best]
                row.add(tokens[best])
            elif isinstance(part, FreeText):
                closing = str(form[number + 1])
                written, whole = _free(row, free_tokens(tokenizer), ids(closing)[0], most_tokens)
                found.text += tokenizer.decode(written)
                found.cut += [] if whole else [part.name]
            else:
                found.text += part
                row.add(ids(part))
    return found


def _free(row: _Row, allowed: torch.Tensor, closing: int, most: int) -> tuple[list[int], bool]:
    """Tokens until the closing one, which is not added, and whether it came before the limit."""
    mask = torch.full_like(row.next_log, -torch.inf)
    mask[allowed.to(mask.device)] = 0.0
    mask[closing] = 0.0
    written: list[int] = []
    while len(written) < most:
        token = int((row.next_log + mask).argmax())
        if token == closing:
            return written, True
        written.append(token)
        row.add([token])
    return written, False


@cache
def free_tokens(tokenizer: Any) -> torch.Tensor:
    """Numbers of the tokens that may stand within a JSON text as they are, whole characters each."""
    special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    texts = tokenizer.batch_decode([[number] for number in range(len(tokenizer))])
    return torch.tensor(
        [
            number for number, text in enumerate(texts)
            if number not in special and text and text.replace(" ", "a").isprintable()
            and not set(text) & {'"', "\\", "\ufffd"}
        ]
    )  # fmt: skip
