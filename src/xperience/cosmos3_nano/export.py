"""Records of the four tasks, with their clips and arrays, of every usable episode; then the official formats."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable

import numpy as np

from xperience.common.files import write_atomic
from xperience.common.settings.cosmos3_nano import Cosmos3NanoExportSettings
from xperience.cosmos3_nano.drafts import ActionDraft, Draft, TextDraft, draft_of
from xperience.cosmos3_nano.episode_records import Stage, records_of
from xperience.cosmos3_nano.formats.official import write_official
from xperience.cosmos3_nano.normaliser import fit
from xperience.cosmos3_nano.parts import OTHER, ClipFile, Options
from xperience.cosmos3_nano.record_set import ARTEFACT, OPTIONS, STATISTICS, RecordSet
from xperience.cosmos3_nano.records import TASKS, AnyRecord, ForwardDynamicsRecord
from xperience.cosmos3_nano.tiers import CANVASES, tier_size
from xperience.windows.source import Sources, read_sources


def export(
    settings: Cosmos3NanoExportSettings, done: Callable[[int, int], None] = lambda _done, _of: None
) -> RecordSet:
    """Write everything under `settings.records`; BadDataError where no train episode has an action clip."""
    folder, manifest = settings.records.expanduser(), settings.manifest_json.expanduser()
    acting = read_sources(manifest, settings.data_root, "actions")
    talking = read_sources(manifest, settings.data_root)
    act, talk = ({episode.path: episode for episode in found.episodes} for found in (acting, talking))
    drafts = [
        draft_of(episode, settings, with_actions=path in act, with_text=path in talk)
        for path, episode in sorted((talk | act).items())
    ]
    statistics = fit(
        [
            (d.episode.split, d.episode.session, a.actions)
            for d in drafts
            if d.episode.split == "train"
            for a in d.actions
        ]
    )
    digest = statistics.write(folder / STATISTICS)
    of_train = [text for d in drafts if d.episode.split == "train" for text in d.texts]
    labels = {moment.action for text in of_train for moment in (text.moment, text.future) if moment is not None}
    known = sorted(label for label in labels if label is not None)
    text = json.dumps([*known, OTHER], ensure_ascii=False) + "\n"
    write_atomic(folder / OPTIONS, text)
    options = Options(uri=OPTIONS, sha256=hashlib.sha256(text.encode()).hexdigest(), count=len(known) + 1)
    stage = Stage(folder, settings, statistics.model_copy(update={"content_sha256": digest}), options, frozenset(known))
    found: list[AnyRecord] = []
    clips: list[tuple[Draft, ActionDraft | TextDraft, ClipFile]] = []
    for number, draft in enumerate(drafts, start=1):
        records, of_draft = records_of(draft, stage)
        found += records
        clips += [(draft, one, clip) for one, clip in of_draft]
        done(number, len(drafts))
    result = _finished(stage, drafts, found, write_official(folder, found, clips), acting, talking)
    result.write(folder / ARTEFACT)
    return result


def _finished(
    stage: Stage, drafts: list[Draft], found: list[AnyRecord], official: dict[str, dict[str, int]], *sources: Sources
) -> RecordSet:
    files, counts = {}, {}
    for task in TASKS:
        of_task = sorted((record for record in found if record.task == task), key=lambda record: record.record_id)
        content = "".join(record.line() + "\n" for record in of_task)
        write_atomic(stage.folder / f"{task}.jsonl", content)
        files[f"{task}.jsonl"] = hashlib.sha256(content.encode()).hexdigest()
        counts[task] = dict(sorted(Counter(record.split for record in of_task).items()))
    clips = {record.clip.uri: record.clip.sha256 for record in found}
    sizes: dict[tuple[int, int], set[int]] = {}
    for record in found:
        sizes.setdefault((record.clip.height, record.clip.width), set()).add(record.clip.num_frames)
    dropped: Counter[str] = Counter()
    for draft in drafts:
        dropped.update(draft.dropped)
    shares: dict[str, list[float]] = {}
    for record in found:
        if isinstance(record, ForwardDynamicsRecord):
            shares.setdefault(record.split, []).append(record.actions.clamped_share)
    return RecordSet(
        inputs={"manifest": sources[0].manifest_sha256}, domain=stage.settings.domain, records=counts,
        official=official, files=files | {OPTIONS: stage.options.sha256, STATISTICS: stage.statistics.content_sha256},
        clips=len(clips), clip_bytes=sum((stage.folder / uri).stat().st_size for uri in clips),
        tiers={
            f"{height}x{width}": {tier: tier_size(tier, height, width, sorted(frames)) for tier in CANVASES}
            for (height, width), frames in sorted(sizes.items())
        },
        median_fps={
            draft.episode.id: round(float(np.median([a.clip.median_fps for a in draft.actions])), 6)
            for draft in drafts if draft.actions
        },
        dropped=dict(sorted(dropped.items())),
        skipped=dict(sorted({path: why for found_in in sources for path, why in found_in.skipped.items()}.items())),
        clamped_share={split: round(float(np.mean(of)), 6) for split, of in sorted(shares.items())},
        options=stage.options.count,
        statistics_sha256=stage.statistics.content_sha256,
    )  # fmt: skip
