"""The content audit: what the staged captions are about, split by split, and whether training may begin."""

import csv
import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from xperience.common.errors import BadDataError
from xperience.common.layout import ANNOTATION
from xperience.episode.annotation import Annotation
from xperience.episode.caption_file import caption_json
from xperience.episode.captions import parse_caption
from xperience.prepare.balance import Labelled, distances, findings_of, split_contents, unknown_share
from xperience.prepare.clusters import cluster
from xperience.prepare.content import AuditRow, ContentAudit, LabelOverlap, Repeated, Thresholds
from xperience.prepare.planned import Planned
from xperience.prepare.vocabulary import UNPARSED, category_of, eight_of
from xperience.selection.document import SPLITS

PREVIEW_CHARACTERS = 500
CSV_COLUMNS = (
    "episode_path", "split", "size_band", "category", "main_task", "segment_count", "actions", "objects",
    "annotation_path", "category_eight", "cluster", "parse_status",
)  # fmt: skip
NOTE = (
    "category: of the main task, by the vocabulary of xperience.prepare.vocabulary; category_eight: the same in the "
    "plan's eight; cluster: TF-IDF and k-means over main task and subtasks, as a cross-check"
)


def audit(
    planned: Sequence[Planned], data_root: Path, thresholds: Thresholds, *, clusters: int,
    pool: Mapping[str, float] | None, selection_json: str, inputs: Mapping[str, str],
) -> ContentAudit:  # fmt: skip
    """Read every selected episode's caption and judge the splits. `pool`: category to share, where it is known."""
    rows = [read_row(episode, data_root) for episode in planned]
    numbers, found = cluster(rows, count=clusters, seed=thresholds.seed)
    rows = [row.model_copy(update={"cluster": number}) for row, number in zip(rows, numbers, strict=True)]
    labelled = [Labelled(row.episode_path.partition("/")[0], row.split, row.category) for row in rows]
    splits, apart = split_contents(labelled, thresholds, pool), distances(labelled, thresholds)
    unknown = unknown_share(labelled)
    findings = findings_of(splits, apart, unknown, thresholds)
    warnings = []
    for split, share in (found.largest_share if found else {}).items():
        if share > thresholds.dominant_share:
            warnings.append(f"one cluster of texts holds {share:.1%} of {split}")
    overlaps = [overlap for split in SPLITS[1:] for overlap in _overlaps(rows, split)]
    warnings += [
        f"{1 - overlap.seen_share:.0%} of the {overlap.distinct} {overlap.kind} labels of {overlap.split} "
        "never occur in train"
        for overlap in overlaps
        if overlap.distinct and overlap.seen_share < 0.5
    ]
    tasks = _repeated((row.main_task.casefold(), row.split) for row in rows if row.main_task)
    devices = _repeated((row.device_id, row.split) for row in rows if row.device_id)
    if tasks:
        warnings.append(f"{len(tasks)} main tasks occur in more than one split")
    if devices:
        warnings.append(f"{len(devices)} devices occur in more than one split")
    return ContentAudit(
        inputs=dict(sorted(inputs.items())),
        status="fail" if findings else "pass",
        data_root=str(data_root),
        selection_json=selection_json,
        episode_count=len(rows),
        category_counts=_counts(row.category for row in rows),
        split_category_counts={split: _counts(row.category for row in rows if row.split == split) for split in SPLITS},
        thresholds=thresholds,
        pool_shares=dict(sorted(pool.items())) if pool is not None else None,
        splits=splits,
        distances=apart,
        unknown_share=round(unknown, 6),
        labels=overlaps,
        repeated_main_tasks=tasks,
        repeated_devices=devices,
        clusters=found,
        findings=findings,
        warnings=warnings,
        rows=rows,
        note=NOTE,
    )


def read_row(episode: Planned, data_root: Path) -> AuditRow:
    """One episode's caption; what cannot be read is `failed` or `missing`, and its category `unparsed`."""
    path = data_root / episode.path / ANNOTATION
    known = {
        "episode_path": episode.path, "annotation_path": f"{episode.path}/{ANNOTATION}", "split": episode.split,
        "size_band": episode.size_band or "",
    }  # fmt: skip
    if not path.is_file():
        return AuditRow(**known, parse_status="missing", error="no annotation.hdf5")
    try:
        with Annotation.open(path) as annotation:
            device, created = _metadata(annotation, "device_id"), _metadata(annotation, "time_created")
            found = annotation.caption()
        if found is None:
            return AuditRow(**known, parse_status="missing", error="no caption", device_id=device, time_created=created)
        text = caption_json(found[1], path.parent)
        caption = parse_caption(text)
    except BadDataError as error:
        return AuditRow(**known, parse_status="failed", error=str(error))
    raw = text.encode() if isinstance(text, str) else text
    category = category_of(caption.main_task)
    return AuditRow(
        **known,
        parse_status="ok",
        json_bytes=len(raw),
        caption_sha256=hashlib.sha256(raw).hexdigest(),
        main_task=caption.main_task,
        global_summary=caption.global_summary,
        segment_count=len(caption.segments),
        subtasks=sorted(set(caption.subtasks)),
        actions=sorted(set(caption.action_labels)),
        objects=list(caption.objects),
        interaction_preview=" ".join(caption.interactions)[:PREVIEW_CHARACTERS],
        device_id=device,
        time_created=created,
        category=category,
        category_eight=eight_of(category),
    )


def _metadata(annotation: Annotation, name: str) -> str | None:
    try:
        return annotation.text(f"metadata/{name}")
    except BadDataError:
        return None  # a damaged name is no reason to lose the caption


def _counts(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items(), key=lambda item: (-item[1], item[0])))


def _overlaps(rows: Sequence[AuditRow], split: str) -> list[LabelOverlap]:
    """Labels of a split against those of train; an occurrence is an episode that has the label."""
    kinds: tuple[Literal["action", "subtask"], ...] = ("action", "subtask")
    found = []
    for kind in kinds:
        own = Counter(label for row in rows if row.split == split for label in _labels(row, kind))
        train = {label for row in rows if row.split == "train" for label in _labels(row, kind)}
        seen = {label for label in own if label in train}
        found.append(
            LabelOverlap(
                split=split,
                kind=kind,
                distinct=len(own),
                seen=len(seen),
                seen_share=round(len(seen) / max(1, len(own)), 6),
                seen_occurrence_share=round(sum(own[label] for label in seen) / max(1, own.total()), 6),
            )
        )
    return found


def _labels(row: AuditRow, kind: str) -> set[str]:
    return {label.casefold() for label in (row.actions if kind == "action" else row.subtasks)}


def _repeated(pairs: Iterable[tuple[str, str]]) -> list[Repeated]:
    """Values that occur in two splits or more, with their number of episodes in each."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for value, split in pairs:
        found[value][split] += 1
    return [
        Repeated(value=value, episodes={split: splits[split] for split in SPLITS if splits[split]})
        for value, splits in sorted(found.items())
        if len(splits) > 1
    ]


def csv_of(found: ContentAudit) -> str:
    """One line per episode: the plan's columns first, lists joined by "; "."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in found.rows:
        values = {name: getattr(row, name) for name in CSV_COLUMNS}
        writer.writerow(values | {"actions": "; ".join(row.actions), "objects": "; ".join(row.objects)})
    return text.getvalue()


def pool_shares(rows: Iterable[AuditRow]) -> dict[str, float]:
    """Shares of categories over the rows of an audit of the pool; those without category left out."""
    counts = Counter(row.category for row in rows if row.category != UNPARSED)
    return {name: round(count / counts.total(), 6) for name, count in sorted(counts.items())}
