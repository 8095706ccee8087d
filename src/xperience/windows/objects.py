"""Object names in one spelling, and which of them a window shows."""

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xperience.episode.captions import Caption, frame_of
from xperience.episode.timeline import Timeline

MOST_OBJECTS = 8
# A caption samples one frame every 2 s; what it names is taken to be there for two samples and no longer.
PERSIST_NS = 4_000_000_000
ARTICLES = ("a ", "an ", "the ", "some ")
# Plural by form alone: their singular is another thing, or no word.
_KEPT = """
    scissors tweezers pliers tongs glasses sunglasses goggles trousers pants jeans shorts headphones earphones stairs
    clothes news series species chess lens gas bus canvas atlas iris
"""
KEPT = frozenset(_KEPT.split())
IRREGULAR = {
    "knives": "knife", "shelves": "shelf", "leaves": "leaf", "loaves": "loaf", "scarves": "scarf", "halves": "half",
    "people": "person", "men": "man", "women": "woman", "children": "child", "feet": "foot", "teeth": "tooth",
    "potatoes": "potato", "tomatoes": "tomato", "mangoes": "mango", "buses": "bus", "lenses": "lens", "boxes": "box",
    "cookies": "cookie", "movies": "movie",
}  # fmt: skip
ES = ("sses", "shes", "ches", "xes", "zzes")


def canonical(name: str) -> str:
    """Lower case, plain quotes off, no article, single spaces, the last word in the singular; "" for no name."""
    text = unicodedata.normalize("NFKC", name).casefold()
    text = " ".join(re.sub(r"[_\"'`’‘“”.,;:]+", " ", text).split())
    for article in ARTICLES:
        text = text.removeprefix(article)
    before, _, last = text.rpartition(" ")
    return f"{before} {singular(last)}".strip()


def singular(word: str) -> str:
    """A word's singular, as far as its form says it."""
    if word in KEPT or word in IRREGULAR:
        return IRREGULAR.get(word, word)
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(ES):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
        return word[:-1]
    return word


@dataclass(frozen=True)
class ObjectLabels:
    """`samples`: canonical names of each; `sample_of_frame`: (N,) the one that speaks for a frame, −1 for none."""

    samples: tuple[tuple[str, ...], ...]
    sample_of_frame: NDArray[np.intp]

    def shown(self, first: int, stop: int) -> list[str]:
        """The names of most frames of [first, stop) first, equals by name; at most eight."""
        numbers, frames = np.unique(self.sample_of_frame[first:stop], return_counts=True)
        counted: Counter[str] = Counter()
        for number, count in zip(numbers.tolist(), frames.tolist(), strict=True):
            if number >= 0:
                counted.update(dict.fromkeys(self.samples[number], count))
        return sorted(counted, key=lambda name: (-counted[name], name))[:MOST_OBJECTS]


def object_labels(caption: Caption, timeline: Timeline) -> ObjectLabels:
    """Names of the sampled frames, each carried on until the next sample, for four seconds at most."""
    at_frame: dict[int, tuple[str, ...]] = {}
    for segment in caption.segments:
        for reference, names in segment.objects:
            frame = frame_of(reference, timeline)
            if frame is not None and frame < timeline.frames:
                at_frame[frame] = tuple(dict.fromkeys(filter(None, map(canonical, names))))
    frames = np.array(sorted(at_frame), dtype=np.intp)
    last = np.searchsorted(frames, np.arange(timeline.frames), side="right") - 1
    if len(frames):
        apart_ns = timeline.t_ns - timeline.t_ns[frames[np.maximum(last, 0)]]
        last = np.where((last >= 0) & (apart_ns < PERSIST_NS), last, -1)
    return ObjectLabels(tuple(at_frame[int(frame)] for frame in frames), last)
