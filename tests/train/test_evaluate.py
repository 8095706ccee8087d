import json

import pytest

from xperience.common.errors import BadDataError, RefusedError
from xperience.common.paired import TOO_FEW
from xperience.common.shards import Shard
from xperience.qwen3_omni import tiny
from xperience.qwen3_omni.compare import ABOVE, NO_ZERO_SHOT, NOT_ABOVE, ZERO_SHOT
from xperience.qwen3_omni.evaluate import ALL_BASELINES, Answerer, conclude, predict
from xperience.qwen3_omni.grammar import AnswerGrammar
from xperience.qwen3_omni.held_out import TrainedOn, check_held_out
from xperience.qwen3_omni.metrics import CHANGED
from xperience.qwen3_omni.predictions import MadeBy, gathered

TRAIN = tiny.ShownLabels("train", sessions=16).facts
VOCABULARY = {"action": tiny.ACTIONS, "subtask": ["Make coffee"], "objects": ["kettle", "cup", "tap"]}
BY = MadeBy(windows="w", base="b", adapter="a", prompt="p", dtype="float32")
RUN = TrainedOn(inputs={"windows": "w"}, fingerprint="f", sessions=["train-00"], episodes=["train-00__ep1"],
                trained_parameters=1)  # fmt: skip
ORACLES = {"per-session majority", "copy of the true current action"}


def told(samples, labels):
    return {
        fact.id: {
            "id": fact.id, "answer": tiny.answer_of(label), "action_probability": 0.9, "ranked": [tiny.ACTIONS[label]],
        }
        for fact, label in zip(samples.facts, labels, strict=True)
    }  # fmt: skip


def report_of(samples, labels, *, base=(0,), **more):
    zero_shot = told(samples, [base[place % len(base)] for place in range(len(labels))])
    return conclude(
        samples.facts, told(samples, labels), TRAIN, RUN, inputs={"windows": "w"}, **{"zero_shot": zero_shot} | more
    )


def test_who_sees_the_labels_is_above_every_fair_baseline():
    samples = tiny.ShownLabels("test", sessions=16)
    report = report_of(samples, samples.shown)
    action = report.fields["action"]
    assert action.verdict == ABOVE and action.accuracy == action.ceiling == action.top_5_accuracy == 1.0
    assert action.calibration.expected_error == pytest.approx(0.1)
    assert [(one.least, one.windows, one.accuracy) for one in action.calibration.bins] == [(0.9, 64, 1.0)]
    assert all(one.interval[0] > 0 for one in action.baselines.values() if not one.oracle)
    assert report.objects.verdict == ABOVE and report.objects.micro_f1 == 1.0
    assert all(report.protocol.values())


def test_baselines_are_named_and_oracles_marked():
    samples = tiny.ShownLabels("test", sessions=16)
    fields = report_of(samples, samples.shown).fields
    assert set(fields["action"].baselines) == {"train majority", "metadata", "per-session majority", ZERO_SHOT}
    assert set(fields["next_action"].baselines) - set(fields["action"].baselines) == {
        "copy of its own current action", "copy of the true current action",
    }  # fmt: skip
    for name, one in [pair for field in fields.values() for pair in field.baselines.items()]:
        assert one.oracle == (name in ORACLES)
    changed = fields[CHANGED]
    assert changed.windows == 64 and changed.baselines["copy of the true current action"].score == 0


def test_with_shuffled_labels_what_is_seen_is_not_above_baseline():
    samples = tiny.ShownLabels("test", sessions=16, shuffled=True)
    assert report_of(samples, samples.shown).fields["action"].verdict == NOT_ABOVE


def test_a_constant_answer_is_not_above_baseline_whatever_its_accuracy():
    samples = tiny.ShownLabels("test", sessions=16)
    transition = report_of(samples, [0] * 64).fields["transition"]
    assert transition.accuracy == 1.0 and transition.verdict == NOT_ABOVE


def test_with_nine_sessions_no_claim_is_made():
    samples = tiny.ShownLabels("test", sessions=9)
    report = report_of(samples, samples.shown)
    assert report.fields["action"].verdict == report.objects.verdict == TOO_FEW
    assert all(one.interval is None for one in report.fields["action"].baselines.values())


def test_a_zero_shot_model_that_answers_alike_is_a_baseline():
    samples = tiny.ShownLabels("test", sessions=16)
    found = report_of(samples, samples.shown, zero_shot=told(samples, samples.shown))
    assert found.fields["action"].baselines[ZERO_SHOT].difference == 0
    assert found.fields["action"].verdict == NOT_ABOVE


def test_without_the_base_models_answers_no_claim_is_made_and_the_protocol_does_not_hold():
    samples = tiny.ShownLabels("test", sessions=16)
    found = report_of(samples, samples.shown, zero_shot=None)
    assert found.fields["action"].verdict == found.objects.verdict == NO_ZERO_SHOT
    assert [name for name, held in found.protocol.items() if not held] == [ALL_BASELINES]


def test_labels_that_train_never_had_count_apart():
    samples = tiny.ShownLabels("test", sessions=16)
    known = [fact for fact in TRAIN if fact.answer["action"] in tiny.ACTIONS[:2]]
    known = [fact for fact in known if fact.answer["next_action"] in tiny.ACTIONS[:2]]
    found = conclude(samples.facts, told(samples, [0] * 64), known, RUN, inputs={}).fields["action"]
    share = sum(label < 2 for label in samples.shown) / 64
    assert found.ceiling == pytest.approx(share, abs=1e-4) and found.unseen_accuracy == 0
    assert found.seen_accuracy == pytest.approx(found.accuracy / share, abs=1e-3)


def test_sessions_that_were_trained_on_are_refused():
    samples = tiny.ShownLabels("test", sessions=2)
    check_held_out(samples.facts, RUN, "w")
    with pytest.raises(RefusedError, match="other windows"):
        check_held_out(samples.facts, RUN, "x")
    with pytest.raises(RefusedError, match="not held out"):
        check_held_out(samples.facts, RUN.model_copy(update={"sessions": ["test-01"]}), "w")


def test_shards_are_answered_once_each_and_go_on_after_an_interruption(tmp_path, thinker, maker):
    samples = tiny.ShownLabels("test", sessions=2, windows=3)
    grammar = AnswerGrammar(maker.ids, VOCABULARY, maker.tokenizer.eos_token_id)
    answerer = Answerer(thinker, maker, grammar, batch=2, score_bytes=1 << 28)
    paths = [tmp_path / f"predictions-{number}.jsonl" for number in range(2)]
    for number, path in enumerate(paths):
        assert predict(path, BY, samples, answerer, shard=Shard(number, 2)) == 3
    whole = paths[0].read_bytes()
    paths[0].write_bytes(whole[:-5])
    with pytest.raises(BadDataError, match="1 are missing"):
        gathered(paths, samples.facts, BY, VOCABULARY)
    assert predict(paths[0], BY, samples, answerer, shard=Shard(0, 2)) == 3
    assert paths[0].read_bytes() == whole
    found = gathered(paths, samples.facts, BY, VOCABULARY)
    assert conclude(samples.facts, found, TRAIN, RUN, inputs={}).valid_answers == 6
    with pytest.raises(BadDataError, match="answered twice"):
        gathered([*paths, paths[1]], samples.facts, BY, VOCABULARY)


def test_answers_of_another_adapter_are_neither_continued_nor_counted(tmp_path, thinker, maker):
    samples = tiny.ShownLabels("test", sessions=1, windows=2)
    grammar = AnswerGrammar(maker.ids, VOCABULARY, maker.tokenizer.eos_token_id)
    answerer = Answerer(thinker, maker, grammar, batch=2, score_bytes=None)
    place, other = tmp_path / "predictions.jsonl", BY.model_copy(update={"adapter": "newer"})
    predict(place, BY, samples, answerer, shard=Shard())
    for call in (
        lambda: predict(place, other, samples, answerer, shard=Shard()),
        lambda: gathered([place], samples.facts, other, VOCABULARY),
    ):
        with pytest.raises(RefusedError, match="another adapter"):
            call()


def test_an_answer_that_is_not_valid_is_not_counted(tmp_path):
    samples = tiny.ShownLabels("test", sessions=1, windows=1)
    line = {"id": samples.facts[0].id, "answer": tiny.answer_of(0) | {"action": "Sing"}}
    (tmp_path / "predictions.jsonl").write_text(f"{BY.model_dump_json()}\n{json.dumps(line)}\n")
    with pytest.raises(BadDataError, match="not valid"):
        gathered([tmp_path / "predictions.jsonl"], samples.facts, BY, VOCABULARY)
