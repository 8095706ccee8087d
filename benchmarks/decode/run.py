"""Constrained answers in batches beside free generation one by one, on the same untrained model.

    python benchmarks/decode/run.py                    # 1,000 answers; 12 free ones, their time is per answer
    python benchmarks/decode/run.py --answers 200

The free generation is what `generate` does without a grammar: greedy, one prompt at a time, until the end token or as
many tokens as the longest valid answer has (the earlier evaluation let it run for 1,024). Both read the same prompts,
made before the clock starts. The vocabulary is invented, and of the size of the real one.
"""

import argparse
import json
import random
import time
from collections.abc import Callable
from typing import Any

import torch

from xperience.qwen3_omni import tiny
from xperience.qwen3_omni.collate import Row, RowMaker, padded
from xperience.qwen3_omni.decode import answers
from xperience.qwen3_omni.grammar import AnswerGrammar, is_valid

LEAST_ANSWERS, LEAST_FACTOR = 1000, 20
LABELS = {"action": 885, "subtask": 600, "objects": 400}


def vocabulary() -> dict[str, list[str]]:
    """Invented labels, as many as the real train split has."""
    drawn = random.Random(1)
    verbs, things = (
        ("Pick up", "Put down", "Turn over", "Wipe", "Open", "Carry"),
        ("cup", "lid", "box", "bead", "cable"),
    )
    return {
        name: sorted({f"{drawn.choice(verbs)} the {drawn.choice(things)} {number}" for number in range(count)})
        for name, count in LABELS.items()
    }  # fmt: skip


def free_answer(model: Any, row: Row, tokenizer: Any, most: int) -> str:
    """What the model says when nothing holds it."""
    batch = padded([row], tokenizer.pad_token_id, left=True)
    batch.pop("labels")
    with torch.no_grad():
        found = model.generate(
            **batch, max_new_tokens=most, do_sample=False, eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )  # fmt: skip
    return str(tokenizer.decode(found[0, batch["input_ids"].shape[1] :], skip_special_tokens=True))


def parsed(text: str) -> object:
    """The JSON of a text, None where it is none."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """Its result, wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = work()
    return found, time.perf_counter() - wall, time.process_time() - cpu


def main() -> int:
    """Print the figures; 1 where an answer is not valid or the factor is not reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, default=LEAST_ANSWERS)
    parser.add_argument("--free", type=int, default=12)
    parser.add_argument("--batch", type=int, default=64)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = tiny.tiny_tokenizer()
    model, maker = tiny.tiny_thinker(tiny.tiny_config(tokenizer)).eval(), RowMaker(tokenizer)
    known = vocabulary()
    grammar = AnswerGrammar(maker.ids, known, tokenizer.eos_token_id)
    samples = tiny.ShownLabels("test", sessions=asked.answers, windows=1, media=("v", "a", "va", ""), frames=4)
    rows = [maker.row(samples.read(number), with_answer=False) for number in range(asked.answers)]
    answers(model, rows[:2], grammar, tokenizer)  # warm

    def constrained() -> list[dict[str, Any]]:
        return [
            one.answer for start in range(0, len(rows), asked.batch)
            for one in answers(model, rows[start : start + asked.batch], grammar, tokenizer)
        ]  # fmt: skip

    found, wall, cpu = timed(constrained)
    free, free_wall, free_cpu = timed(
        lambda: [free_answer(model, row, tokenizer, grammar.longest) for row in rows[: asked.free]]
    )
    objects = set(grammar.objects)
    valid = sum(is_valid(answer, grammar.values, objects) for answer in found)
    free_valid = sum(is_valid(parsed(text), grammar.values, objects) for text in free)
    factor = (free_cpu / len(free)) / (cpu / len(found))
    for name, good, texts, seconds, waited in (
        (f"constrained, batches of {asked.batch}", valid, found, cpu, wall),
        (f"free, one by one, at most {grammar.longest} tokens", free_valid, free, free_cpu, free_wall),
    ):
        rates = f"{len(texts) / seconds:.2f} answers per CPU second, {len(texts) / waited:.2f} per second"
        print(f"{name}: {good} of {len(texts)} valid; {rates}")
    print(f"factor: {factor:.1f} by CPU time, {free_wall / len(free) * len(found) / wall:.1f} by wall time")
    return 0 if valid == len(found) and factor >= LEAST_FACTOR else 1


if __name__ == "__main__":
    raise SystemExit(main())
