"""Probe candidates at the hub: usable for what, and what their main task is."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from xperience.common.errors import BadDataError
from xperience.common.layout import ANNOTATION
from xperience.common.settings.prepare import PrepareProbeSettings
from xperience.episode.captions import parse_caption
from xperience.hub.client import Hub
from xperience.hub.fetch import RangeClient
from xperience.prepare.hub_file import HubFile, Spent
from xperience.prepare.probe import probe
from xperience.prepare.replace import Probed
from xperience.prepare.usable import purposes_of
from xperience.prepare.vocabulary import UNKNOWN, category_of
from xperience.prepare.workers import Workers
from xperience.selection.algorithm import Candidate
from xperience.selection.document import PlanFields
from xperience.selection.swap import Pool


def prober(
    settings: PrepareProbeSettings, parent: PlanFields, pool: Pool, hub: Hub, stop: threading.Event, *,
    with_category: bool,
) -> Callable[[Sequence[Candidate]], list[Probed]]:  # fmt: skip
    """A function that probes candidates; with their categories where balance asks for them."""
    purposes = purposes_of(settings.purposes)

    def run(candidates: Sequence[Candidate]) -> list[Probed]:
        if not candidates:
            return []
        report = probe(settings, pool.selection(parent, candidates), hub, stop=stop)
        found = []
        for candidate, episode in zip(candidates, report.episodes, strict=True):
            lacks = [purpose for purpose in purposes if purpose not in episode.verdict.usable_for]
            why = dict.fromkeys(reason for purpose in lacks for reason in episode.verdict.reasons[purpose])
            found.append(Probed(candidate, "; ".join(why)))
        return _with_categories(found, settings, parent, pool, hub, stop) if with_category else found

    return run


def _with_categories(
    found: Sequence[Probed], settings: PrepareProbeSettings, parent: PlanFields, pool: Pool, hub: Hub,
    stop: threading.Event,
) -> list[Probed]:  # fmt: skip
    """Read the main task of those that are usable."""
    client = RangeClient(
        hub, parent.repo_sha, streams=settings.download_streams, retries=settings.hub_retries, ended=stop,
        on_bytes=lambda _count: None, on_retry=lambda _reason: None,
    )  # fmt: skip
    workers = Workers(timeout_seconds=settings.worker_timeout_seconds, memory_bytes=settings.worker_memory_mib << 20)
    with closing(client), workers, ThreadPoolExecutor(settings.download_streams) as fetching:

        def category(one: Probed) -> Probed:
            if one.why_not:
                return one
            file = HubFile(client, pool.identities[f"{one.candidate.path}/{ANNOTATION}"], Spent(), fetching)
            try:
                look = workers.look_at_ranges("texts", file, lambda _name: None)
                name = category_of(parse_caption((look.texts and look.texts.caption) or "").main_task)
            except BadDataError:
                name = ""
            return Probed(one.candidate, "", None if name in ("", *UNKNOWN) else name)

        return [category(one) for one in found]
