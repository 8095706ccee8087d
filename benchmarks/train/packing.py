"""What packing saves: one loss computed from packs, from rows on their own, and from padded batches, tokens counted.

    python benchmarks/train/packing.py                      # 64 samples with video, sound, both or neither, side 256
    python benchmarks/train/packing.py --batch 8 --pack-tokens 4096

The tiny model on a CPU, forward and backward; the loss of all three has to be the same to 1e-5, else it ends with 1.
"""

import argparse
import sys
import time
from dataclasses import dataclass

import torch

from xperience.qwen3_omni import tiny
from xperience.qwen3_omni.collate import RowMaker, packed, padded
from xperience.qwen3_omni.model import add_adapter
from xperience.qwen3_omni.schedule import packs_of
from xperience.training.answers import IGNORED, answer_loss

MOST_DIFFERENCE = 1e-5


@dataclass(frozen=True)
class Way:
    """One way to compute the loss of all samples; `tokens` are those that the model computes, padding included."""

    name: str
    passes: int
    tokens: int
    supervised: int
    loss: float
    cpu_seconds: float

    @property
    def tokens_per_supervised(self):
        return self.tokens / self.supervised


def ways(samples, maker, model, *, pack_tokens, batch):
    """The three ways, on the same rows."""
    rows = [maker.row(samples.read(number)) for number in range(len(samples.facts))]
    supervised = sum(label != IGNORED for row in rows for label in row.labels)
    counts = [maker.counts(facts) for facts in samples.facts]
    packs = [[rows[number] for number in pack.samples] for pack in packs_of(counts, range(len(rows)), pack_tokens)]
    batches = {
        f"packed to {pack_tokens}": [packed(pack) for pack in packs],
        "unpadded, one by one": [packed([row]) for row in rows],
        f"padded, {batch} at a time": [
            padded(rows[start : start + batch], maker.tokenizer.pad_token_id) for start in range(0, len(rows), batch)
        ],
    }
    return [measure(name, found, model, supervised) for name, found in batches.items()]


def measure(name, batches, model, supervised):
    model.zero_grad(set_to_none=True)
    begun, loss = time.process_time(), 0.0
    for batch in batches:
        found = answer_loss(model, dict(batch))
        found.backward()
        loss += float(found.detach())
    seconds = time.process_time() - begun
    tokens = sum(batch["input_ids"].numel() for batch in batches)
    return Way(name, len(batches), tokens, supervised, loss / supervised, seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=16)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--pack-tokens", type=int, default=2048)
    parser.add_argument("--batch", type=int, default=4)
    options = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = tiny.tiny_tokenizer()
    thinker = tiny.tiny_thinker(tiny.tiny_config(tokenizer))
    model = add_adapter(thinker, rank=4, alpha=8, dropout=0.0)
    samples = tiny.ShownLabels(
        "train", sessions=options.sessions, media=("v", "a", "va", ""), side=options.side, frames=4
    )
    found = ways(samples, RowMaker(tokenizer), model, pack_tokens=options.pack_tokens, batch=options.batch)
    print(f"{len(samples.facts)} samples, {found[0].supervised} supervised tokens")
    print(f"{'':24}{'passes':>8}{'tokens':>9}{'per supervised':>16}{'loss':>12}{'CPU s':>8}")
    for way in found:
        print(
            f"{way.name:24}{way.passes:>8}{way.tokens:>9}{way.tokens_per_supervised:>16.3f}"
            f"{way.loss:>12.7f}{way.cpu_seconds:>8.2f}"
        )
    largest = max(abs(way.loss / found[0].loss - 1) for way in found)
    print(f"largest relative difference of the loss: {largest:.1e} (at most {MOST_DIFFERENCE:.0e})")
    sys.exit(largest > MOST_DIFFERENCE)


if __name__ == "__main__":
    main()
