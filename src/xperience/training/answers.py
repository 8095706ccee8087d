"""Supervised answers: the gate that reads labels back, and the loss of what is supervised and of nothing else."""

from typing import Any, Protocol

import torch

from xperience.common.errors import BadDataError

IGNORED = -100
IM_END = "<|im_end|>"


class Tokenizer(Protocol):
    """What is used of a Hugging Face tokenizer."""

    pad_token_id: int
    eos_token_id: int

    def __call__(self, text: str, *, add_special_tokens: bool) -> Any:
        """Tokens under `input_ids`."""
        ...

    def convert_tokens_to_ids(self, token: str) -> int:
        """One token's number."""
        ...

    def decode(self, ids: list[int], *, skip_special_tokens: bool = False) -> str:
        """Text of tokens."""
        ...


class Answered(Protocol):
    """A row with its labels, and the answer that they have to read as."""

    @property
    def id(self) -> str:
        """What an error names."""
        ...

    @property
    def labels(self) -> list[int]:
        """A token, or -100 where nothing is supervised."""
        ...

    @property
    def answer(self) -> str:
        """Without its end."""
        ...


def check_labels(tokenizer: Tokenizer, row: Answered) -> None:
    """BadDataError where the supervised tokens are not the answer and its end."""
    supervised = [label for label in row.labels if label != IGNORED]
    found, expected = tokenizer.decode(supervised), row.answer + IM_END
    if found != expected:
        # Tokens of the prompt in front of the answer: what a mask gives that counted the prompt without its media.
        ends = (n for n in range(len(supervised), 0, -1) if tokenizer.decode(supervised[n:]) == expected)
        surplus = next(ends, None)
        of_prompt = "the answer is not among them" if surplus is None else f"{surplus} of them are of the prompt"
        raise BadDataError(
            "the supervised tokens are not the answer", where=row.id,
            why=f"{len(supervised)} tokens, {of_prompt}; they begin with {found[:60]!r}",
            fix="The label mask is wrong: nothing may be trained with it.",
        )  # fmt: skip


def answer_loss(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Sum of the cross entropy of the supervised tokens; 0 with a graph where there are none.

    Only positions that predict one are projected to the vocabulary: a hook on lm_head works in every version, while
    `thinker.model` is the whole model in one and the text model in another.
    """
    labels = batch["labels"]
    shifted = torch.full_like(labels, -100)
    shifted[:, :-1] = labels[:, 1:]
    keep = shifted != -100
    empty = not bool(keep.any())
    if empty:
        keep[:, -1] = True
    head = next(module for name, module in model.named_modules() if name.split(".")[-1] == "lm_head")
    hook = head.register_forward_pre_hook(lambda _module, arguments: (arguments[0][keep],))
    try:
        inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
        logits = model(**inputs, use_cache=False).logits.float()
    finally:
        hook.remove()
    if empty:
        return logits.sum() * 0.0
    return torch.nn.functional.cross_entropy(logits, shifted[keep], reduction="sum")
