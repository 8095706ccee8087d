import pytest

from xperience.common.errors import BadDataError, RefusedError
from xperience.common.shards import Shard
from xperience.qwen3_omni import tiny
from xperience.qwen3_omni.evaluate import conclude, gathered, predict, read_lines
from xperience.qwen3_omni.grammar import AnswerGrammar
from xperience.qwen3_omni.held_out import TrainedOn, check_held_out
from xperience.qwen3_omni.metrics import ABOVE, NOT_ABOVE, TOO_FEW

TRAIN = tiny.ShownLabels("train", sessions=16).facts
VOCABULARY = {"action": tiny.ACTIONS, "subtask": ["Make coffee"], "objects": ["kettle", "cup", "tap"]}


def told(samples, labels):
    return {
        fact.id: {"id": fact.id, "answer": tiny.answer_of(label), "action_probability": 0.9}
        for fact, label in zip(samples.facts, labels, strict=True)
    }


def report_of(samples, labels, **more):
    return conclude(samples.facts, told(samples, labels), TRAIN, inputs={"windows": "a"}, **more)


def test_who_sees_the_labels_is_above_every_fair_baseline():
    samples = tiny.ShownLabels("test", sessions=16)
    action = report_of(samples, samples.shown).fields["action"]
    assert action.verdict == ABOVE and action.accuracy == 1.0
    assert action.calibration_error == pytest.approx(0.1)
    assert all(one.interval[0] > 0 for one in action.baselines.values() if not one.oracle)


def test_with_shuffled_labels_what_is_seen_is_not_above_baseline():
    samples = tiny.ShownLabels("test", sessions=16, shuffled=True)
    assert report_of(samples, samples.shown).fields["action"].verdict == NOT_ABOVE


def test_a_constant_answer_is_not_above_baseline_whatever_its_accuracy():
    samples = tiny.ShownLabels("test", sessions=16)
    transition = report_of(samples, [0] * 64).fields["transition"]
    assert transition.accuracy == 1.0 and transition.verdict == NOT_ABOVE


def test_with_nine_sessions_no_claim_is_made():
    samples = tiny.ShownLabels("test", sessions=9)
    action = report_of(samples, samples.shown).fields["action"]
    assert action.verdict == TOO_FEW
    assert all(one.interval is None for one in action.baselines.values())


def test_a_zero_shot_model_that_answers_alike_is_a_baseline():
    samples = tiny.ShownLabels("test", sessions=16)
    found = report_of(samples, samples.shown, zero_shot=told(samples, samples.shown))
    assert found.fields["action"].baselines["zero-shot base model"].difference == 0
    assert found.fields["action"].verdict == NOT_ABOVE


def test_sessions_that_were_trained_on_are_refused():
    samples = tiny.ShownLabels("test", sessions=2)
    run = TrainedOn(inputs={"windows": "w"}, fingerprint="f", sessions=["train-00"], trained_parameters=1)
    check_held_out(samples.facts, run, "w")
    with pytest.raises(RefusedError, match="other windows"):
        check_held_out(samples.facts, run, "x")
    with pytest.raises(RefusedError, match="not held out"):
        check_held_out(samples.facts, run.model_copy(update={"sessions": ["test-01"]}), "w")


def test_shards_are_answered_once_each_and_go_on_after_an_interruption(tmp_path, thinker, maker):
    samples = tiny.ShownLabels("test", sessions=2, windows=3)
    grammar = AnswerGrammar(maker.ids, VOCABULARY, maker.tokenizer.eos_token_id)
    paths = [tmp_path / f"predictions-{number}.jsonl" for number in range(2)]
    for number, path in enumerate(paths):
        assert predict(path, thinker, samples, maker, grammar, shard=Shard(number, 2), batch=2) == 3
    whole = paths[0].read_bytes()
    paths[0].write_bytes(whole[:-5])
    with pytest.raises(BadDataError, match="1 are missing"):
        gathered(paths, samples.facts)
    assert len(read_lines(paths[0])) == 2
    assert predict(paths[0], thinker, samples, maker, grammar, shard=Shard(0, 2), batch=2) == 3
    assert paths[0].read_bytes() == whole
    assert conclude(samples.facts, gathered(paths, samples.facts), TRAIN, inputs={}).valid_answers == 6
    with pytest.raises(BadDataError, match="answered twice"):
        gathered([*paths, paths[1]], samples.facts)
