"""What is reported of answers and of videos that are known: the truth is better than trivial, a blind one is not."""

import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "windows"))

from staged import stage

from xperience.common.errors import BadDataError
from xperience.common.paired import score
from xperience.common.settings.cosmos3_nano import Cosmos3NanoExportSettings
from xperience.cosmos3_nano.answers import answer_of, answer_text, form_of, is_valid
from xperience.cosmos3_nano.evaluation import future_label, reason, video
from xperience.cosmos3_nano.evaluation.compared import BETTER, NOT_BETTER, balanced_counts, f1_counts, word_f1_counts
from xperience.cosmos3_nano.evaluation.lines import DrawnBy
from xperience.cosmos3_nano.evaluation.text import TextLine, known_to, options_of, text_records
from xperience.cosmos3_nano.evaluation.video import COPY, MODEL, ORACLE, SHUFFLED, STILL, VideoLine, video_records
from xperience.cosmos3_nano.export import export
from xperience.cosmos3_nano.record_set import ARTEFACT, RecordSet, read_records
from xperience.cosmos3_nano.records import FutureLabelRecord, ReasonRecord

BY = DrawnBy(model_sha256="m", seed=0, steps=2).model_dump()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    staged = stage(tmp_path_factory.mktemp("staged"), splits=("train", *["test"] * 10), frames=400)
    place = staged.root.parent / "records"
    export(Cosmos3NanoExportSettings(manifest_json=staged.manifest, records=place, clips=1, text_clips=3))
    for task in ("reason", "future_label"):
        with_some_in_every_session(place, task)
    return place


def with_some_in_every_session(place, task):
    """In few synthetic clips is enough known: what is said of them stands for ten sessions and for train."""
    found = read_records(place, task)
    sessions = sorted({(record.session_id, record.split) for record in read_records(place, "forward_dynamics")})
    assert len(sessions) == 11
    every = [
        record.model_copy(update={"session_id": session, "split": split, "record_id": f"{session}/{record.record_id}"})
        for session, split in sessions for record in found
    ]  # fmt: skip
    content = "".join(record.line() + "\n" for record in every)
    (place / f"{task}.jsonl").write_text(content)
    artefact = RecordSet.read(place / ARTEFACT)
    files = artefact.files | {f"{task}.jsonl": hashlib.sha256(content.encode()).hexdigest()}
    artefact.model_copy(update={"files": files}).write(place / ARTEFACT)


def lines(folder, kind, said, black):
    """Lines whose answers are made of the records; the whole probability is the answer's."""
    found = {}
    options = options_of(folder)
    for record in text_records(folder, kind, "test"):
        answer = said(record)
        chances, current = [], None
        if kind is FutureLabelRecord:
            chances = [float(option == answer["next_action"]) for option in options]
            current = record.current.action
        found[record.sha256] = TextLine(
            record_sha256=record.sha256, answer=answer, valid=is_valid(record, answer, known_to(folder, record)),
            cut=[], black=black(record), chances=chances, current=current, **BY,
        )  # fmt: skip
    return found


def wrong(record):
    """An answer of the form that is right in nothing."""
    told = answer_of(record)
    if isinstance(record, FutureLabelRecord):
        state = "none" if told["contact_state"] != "none" else "both"
        return {"next_action": "no label", "contact_state": state, "transition": not told["transition"]}
    flipped = {side: not told["contact"][side] for side in ("left", "right")}
    at = told["evidence"][0]["t_s"]
    return told | {"observation": "x", "physics": "y", "contact": flipped | {"object": "nothing"},
                   "evidence": [{"t_s": 6.0 if at < 3 else 0.0}]}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "conclude"), [(ReasonRecord, reason.conclude), (FutureLabelRecord, future_label.conclude)]
)
def test_the_truth_is_better_than_a_blind_answer_and_a_wrong_one_is_not(folder, kind, conclude):
    right = conclude(folder, lines(folder, kind, answer_of, wrong), split="test")
    assert right.sessions == 10 and right.clips >= 10
    for name, metric in right.metrics.items():
        assert metric.value == (1 if metric.higher_is_better else 0), name
        if "black frames" in metric.trivial:
            assert metric.trivial["black frames"].verdict == BETTER, name
    swapped = conclude(folder, lines(folder, kind, wrong, answer_of), split="test")
    assert {metric.verdict for metric in swapped.metrics.values()} == {NOT_BETTER}


def test_an_answer_is_written_as_its_form_has_it_and_times_begin_with_the_clip(folder):
    for kind in (ReasonRecord, FutureLabelRecord):
        record = text_records(folder, kind, "test")[-1]
        told = answer_of(record)
        text = answer_text(told)
        for part in form_of(record, known_to(folder, record)):
            if isinstance(part, str) and "null" not in text:
                assert part in text
    late = max(text_records(folder, ReasonRecord, "test"), key=lambda record: record.clip.t0_s)
    assert late.clip.t0_s > 1 and answer_of(late)["evidence"][0]["t_s"] <= late.clip.t1_s - late.clip.t0_s + 0.05
    shown = late.clip.t0_s + answer_of(late)["evidence"][0]["t_s"]
    assert shown == pytest.approx(late.target.evidence[0].t_s, abs=0.05)


def test_evidence_that_is_not_in_the_clip_is_not_valid(folder):
    record = text_records(folder, ReasonRecord, "test")[0]
    told = answer_of(record)
    assert is_valid(record, told, [])
    assert not is_valid(record, told | {"evidence": [{"t_s": 60.0}]}, [])
    assert not is_valid(record, told | {"evidence": []}, [])


def test_a_missing_answer_is_named(folder):
    with pytest.raises(BadDataError, match="predictions are missing"):
        reason.conclude(folder, {}, split="test")


def test_a_copy_of_the_true_current_action_is_an_oracle_and_does_not_count(folder):
    """The truth changes nowhere here: to copy the current action is right, and still no reason against a claim."""
    found = future_label.conclude(folder, lines(folder, FutureLabelRecord, answer_of, wrong), split="test")
    trivial = found.metrics["next_action_balanced_accuracy"].trivial
    assert {name for name, one in trivial.items() if one.oracle} == {
        "copy of the true current action", "train bigram of the true current action"
    }  # fmt: skip


def test_the_majority_of_train_is_a_contact_that_is_known_where_most_are_not(folder, monkeypatch):
    def of_split(_folder, kind, split):
        """Test touches with the left hand; so does one of three of train, of the others nothing is known."""
        found = text_records(folder, kind, split)
        states = ["left"] * len(found) if split == "test" else ["left", "unknown", "unknown"]
        return [
            record.model_copy(update={"target": record.target.model_copy(update={"contact_state": state})})
            for record, state in zip(found if split == "test" else found[:1] * 3, states, strict=True)
        ]

    line = next(iter(lines(folder, FutureLabelRecord, answer_of, wrong).values()))
    monkeypatch.setattr(future_label, "text_records", of_split)
    monkeypatch.setattr(future_label, "lines_of", lambda records, *_: [(record, line) for record in records])
    found = future_label.conclude(folder, {}, split="test")
    assert found.metrics["contact_state_balanced_accuracy"].trivial["train majority"].value == 1


def test_no_object_is_what_train_mostly_says_where_most_sentences_name_none(folder):
    told = answer_of(text_records(folder, ReasonRecord, "train")[0])
    named, none = (told | {"contact": told["contact"] | {"object": name}} for name in ("cup", None))
    assert reason._commonest([none, named, none])["contact"]["object"] is None
    assert reason._commonest([named, none, named])["contact"]["object"] == "cup"


def videos(folder, **scores):
    """Lines of videos whose PSNR is given by what made them; SSIM is its hundredth."""
    return {
        record.sha256: VideoLine(
            record_sha256=record.sha256, clip_uri="", scores={
                name: {"psnr_db": scores.get(name, 10.0), "ssim": scores.get(name, 10.0) / 100}
                for name in (MODEL, COPY, STILL, SHUFFLED, ORACLE)
            }, **BY,
        )
        for record in video_records(folder, "test")
    }  # fmt: skip


def test_a_video_has_to_be_better_than_a_still_one_and_than_that_of_shuffled_actions(folder):
    better = video.conclude(folder, videos(folder, **{MODEL: 20.0, SHUFFLED: 15.0, ORACLE: 40.0}), split="test")
    assert better.controllability_db == 5.0 and better.sessions == 10
    assert {metric.verdict for metric in better.metrics.values()} == {BETTER}
    deaf = video.conclude(folder, videos(folder, **{MODEL: 20.0, SHUFFLED: 20.0}), split="test")
    assert deaf.controllability_db == 0 and deaf.metrics["psnr_db"].verdict == NOT_BETTER
    still = video.conclude(folder, videos(folder, **{MODEL: 20.0, COPY: 25.0}), split="test")
    assert still.metrics["ssim"].verdict == NOT_BETTER


def test_scores_are_those_of_the_textbook():
    truth, said = ["a", "a", "a", "b"], ["a", "a", "b", "b"]
    assert score(balanced_counts(truth, said)) == pytest.approx((2 / 3 + 1) / 2)
    assert score(f1_counts([True, True, False, True], [True, False, True, False])) == pytest.approx(2 * 1 / (3 + 2))
    assert score(word_f1_counts(["the Left hand"], ["the right hand"])) == pytest.approx(4 / 6)
    assert np.isclose(score(word_f1_counts(["", "x"], ["", "y"])), 0.5)
