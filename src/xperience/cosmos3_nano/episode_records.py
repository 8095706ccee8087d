"""Records of one episode, with the clips and arrays that they name; its video is decoded once."""

import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xperience import __version__
from xperience.common.files import write_atomic
from xperience.common.layout import ANNOTATION
from xperience.common.settings.cosmos3_nano import Cosmos3NanoExportSettings
from xperience.cosmos3_nano.clips import Clip
from xperience.cosmos3_nano.drafts import ActionDraft, Draft, TextDraft
from xperience.cosmos3_nano.labels import LABEL_FIELDS
from xperience.cosmos3_nano.media import Stored, cut, store
from xperience.cosmos3_nano.normaliser import ActionStatistics
from xperience.cosmos3_nano.parts import (
    OTHER,
    ActionFile,
    ClipFile,
    Contact,
    FutureTarget,
    Options,
    Prompt,
    Provenance,
    ReasonAnswer,
    Sampler,
    Seen,
)
from xperience.cosmos3_nano.records import (
    ActionProxyRecord,
    AnyRecord,
    ForwardDynamicsRecord,
    FutureLabelRecord,
    ReasonRecord,
)
from xperience.cosmos3_nano.tracks import CAMERA, SOURCE_FIELDS

ACTION_TEMPLATE, TEXT_TEMPLATE = "cosmos3.action.v1", "cosmos3.reasoner.v1"
REASON_QUESTION = (
    "What is the person doing, what do the hands touch, and why? "
    "Answer in JSON: observation, contact, physics, evidence."
)
FUTURE_QUESTION = "What happens within the next {seconds:g} s? Answer with the next action, contact and transition."
ANY_ACTION = "The person goes on."


@dataclass(frozen=True)
class Stage:
    """What records of all episodes share."""

    folder: Path
    settings: Cosmos3NanoExportSettings
    statistics: ActionStatistics
    options: Options
    known: frozenset[str]


def records_of(draft: Draft, stage: Stage) -> tuple[list[AnyRecord], list[tuple[ActionDraft | TextDraft, ClipFile]]]:
    """The episode's records, and each draft's clip; its video is decoded once for all of them."""
    drafts: list[ActionDraft | TextDraft] = [*draft.actions, *draft.texts]
    stored: dict[int, Stored] = {}
    frames = [one.clip.source_frames for one in drafts]
    for number, pictures in cut(draft.episode.video(CAMERA), frames):
        stored[number] = store(stage.folder, pictures, round(drafts[number].clip.median_fps, 3))
    found: list[AnyRecord] = []
    clips = [(one, _clip_file(draft, one.clip, stored[number])) for number, one in enumerate(drafts)]
    for one, clip in clips:
        if isinstance(one, ActionDraft):
            found += _action_records(draft, one, clip, stage)
        else:
            found += _text_records(draft, one, clip, stage)
    return found, clips


def _clip_file(draft: Draft, clip: Clip, stored: Stored) -> ClipFile:
    return ClipFile(
        camera=CAMERA, uri=stored.uri, sha256=stored.sha256, source_frames=tuple(clip.source_frames.tolist()),
        source_fps=round(draft.timeline.frames_per_second or 0.0, 6), fps=round(clip.median_fps, 3),
        num_frames=len(clip.source_frames), width=stored.width, height=stored.height,
        t0_s=draft.seconds(clip.t_ns[0]), t1_s=draft.seconds(clip.t_ns[-1]),
    )  # fmt: skip


def _envelope(draft: Draft, task: str, clip: ClipFile, fields: Iterable[str], stats: str | None) -> dict[str, Any]:
    episode = draft.episode
    return {
        "record_id": f"{episode.id}/{task}/{clip.source_frames[0]}-{clip.source_frames[-1]}",
        "session_id": episode.session, "episode_id": episode.id, "split": episode.split, "clip": clip,
        "provenance": Provenance(
            fields=tuple(fields), annotation_sha256=episode.identity[ANNOTATION], exporter=__version__,
            stats_sha256=stats,
        ),
    }  # fmt: skip


def _action_records(draft: Draft, one: ActionDraft, clip: ClipFile, stage: Stage) -> list[AnyRecord]:
    digest = stage.statistics.content_sha256
    actions = _action_file(one, stage)
    shared: dict[str, Any] = {
        "domain": one.actions.domain, "chunk": len(one.actions.values), "tier": stage.settings.tier,
    }  # fmt: skip
    told = draft.descriptions.get(one.label, one.label) if one.label else ANY_ACTION
    prompt = Prompt(text=told, template=ACTION_TEMPLATE, text_until_s=clip.t0_s if one.label else None)
    fields = (*SOURCE_FIELDS, "caption") if one.label else SOURCE_FIELDS
    first_alone = {"visible_frames": 1, "visible_until_s": clip.t0_s}
    return [
        ForwardDynamicsRecord(
            **_envelope(draft, "forward_dynamics", clip, fields, digest), **shared, **first_alone, prompt=prompt,
            actions=actions, target_clip=clip, sampler=Sampler(),
        ),
        ActionProxyRecord(
            **_envelope(draft, "inverse_dynamics", clip, fields, digest), **shared, prompt=prompt,
            visible_frames=clip.num_frames, visible_until_s=clip.t1_s, mode="inverse_dynamics", target_actions=actions,
        ),
        ActionProxyRecord(
            **_envelope(draft, "policy", clip, fields, digest), **shared, **first_alone, prompt=prompt, mode="policy",
            target_actions=actions,
        ),
    ]  # fmt: skip


def _action_file(one: ActionDraft, stage: Stage) -> ActionFile:
    values, share = stage.statistics.normalised(one.actions)
    uri, digest = _array(stage.folder, values.astype(np.float32))
    valid_uri, valid_digest = _array(stage.folder, one.actions.valid)
    return ActionFile(
        uri=uri, sha256=digest, shape=(values.shape[0], values.shape[1]), space="normalised", normaliser="quantile",
        stats_sha256=stage.statistics.content_sha256, valid_uri=valid_uri, valid_sha256=valid_digest,
        clamped_share=round(share, 6),
    )  # fmt: skip


def _array(folder: Path, values: NDArray[Any]) -> tuple[str, str]:
    file = io.BytesIO()
    np.save(file, values, allow_pickle=False)
    digest = hashlib.sha256(file.getvalue()).hexdigest()
    uri = f"arrays/{digest[:24]}.npy"
    write_atomic(folder / uri, file.getvalue())
    return uri, digest


def _text_records(draft: Draft, one: TextDraft, clip: ClipFile, stage: Stage) -> list[AnyRecord]:
    found: list[AnyRecord] = []
    seen = {"visible_frames": clip.num_frames, "visible_until_s": clip.t1_s}
    left, right = one.moment.contact["left"], one.moment.contact["right"]
    if left is None or right is None:
        draft.dropped["reason: contact of a hand is not known"] += 1  # an answer is true or false
    elif one.moment.action and one.interactions:
        frame, sentence = one.interactions[0]
        named = [name for name in one.moment.objects if name in sentence.casefold() and name != "hand"]
        found.append(
            ReasonRecord(
                **_envelope(draft, "reason", clip, LABEL_FIELDS, None), **seen,
                prompt=Prompt(text=REASON_QUESTION, template=TEXT_TEMPLATE, text_until_s=None),
                target=ReasonAnswer(
                    observation=draft.descriptions.get(one.moment.action, one.moment.action),
                    contact=Contact(left=left, right=right, object=named[0] if named else None),
                    physics=sentence, evidence=(Seen(t_s=draft.seconds(draft.timeline.t_ns[frame])),),
                ),
            )
        )  # fmt: skip
    else:
        draft.dropped["reason: no action or no sentence about the hands in the clip"] += 1
    if one.moment.action is None:
        draft.dropped["future_label: the clip's own action is not known, nor whether it changes"] += 1
        return found
    if one.future is None or one.future.action is None:
        draft.dropped["future_label: nothing is known of the time behind the clip"] += 1
        return found
    horizon = stage.settings.horizon_seconds
    found.append(
        FutureLabelRecord(
            **_envelope(draft, "future_label", clip, LABEL_FIELDS, None), **seen, horizon_s=horizon,
            prompt=Prompt(text=FUTURE_QUESTION.format(seconds=horizon), template=TEXT_TEMPLATE, text_until_s=None),
            options=stage.options, current=one.moment,
            target_from_s=draft.seconds(draft.timeline.t_ns[one.future_from]),
            target=FutureTarget(
                next_action=one.future.action if one.future.action in stage.known else OTHER,
                contact_state=one.future.contact_state, transition=one.future.action != one.moment.action,
                objects=one.future.objects,
            ),
        )
    )  # fmt: skip
    return found
