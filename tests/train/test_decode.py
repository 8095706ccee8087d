import json
import random
from types import SimpleNamespace

import pytest
import torch

from xperience.qwen3_omni import tiny
from xperience.qwen3_omni.collate import padded
from xperience.qwen3_omni.decode import MIB, answers, kv_bytes_per_token, labels_at_once
from xperience.qwen3_omni.grammar import AnswerGrammar, is_valid
from xperience.qwen3_omni.model import real_config
from xperience.qwen3_omni.prompt import FIELDS, answer_pieces, quoted

VOCABULARY = {
    "action": [*tiny.ACTIONS, "Pick", "Pick up", 'Say "Pick"'], "subtask": ["Make coffee"],
    "objects": ["cup", "cup lid", "kettle", "a", "b", "c", "d", "e", "f", "tap"],
}  # fmt: skip


@pytest.fixture(scope="module")
def grammar(maker):
    return AnswerGrammar(maker.ids, VOCABULARY, maker.tokenizer.eos_token_id)


def walk(grammar, choose):
    state, tokens = grammar.start(), []
    while not grammar.done(state):
        tokens.append(choose(grammar.allowed(state)))
        state = grammar.advance(state, tokens[-1])
    return tokens


def valid(answer):
    objects = answer["objects"]
    return (
        tuple(answer) == FIELDS and answer["action"] in VOCABULARY["action"] and len(objects) <= 8
        and len(set(objects)) == len(objects) and set(objects) <= set(VOCABULARY["objects"])
        and answer["contact"] in ("yes", "no", "unknown") and answer["transition"] in ("yes", "no")
        and answer["next_action"] in [*VOCABULARY["action"], "unknown"]
        and answer["subtask"] in [*VOCABULARY["subtask"], "unknown"]
    )  # fmt: skip


def test_every_one_of_2000_random_walks_is_a_valid_answer(grammar, maker):
    choose = random.Random(3).choice
    walks = [walk(grammar, choose) for _ in range(2000)]
    found = [json.loads(maker.tokenizer.decode(tokens)) for tokens in walks]
    assert all(valid(answer) for answer in found)
    assert {len(answer["objects"]) for answer in found} >= {0, 1, 8}
    assert max(map(len, walks)) < grammar.longest


def test_the_longest_answer_has_as_many_tokens_as_the_grammar_says(grammar, maker):
    def longest(texts):
        return max(texts, key=lambda text: len(maker.ids(quoted(text))))

    names = sorted(VOCABULARY["objects"], key=lambda name: -len(maker.ids(quoted(name))))[:8]
    answer = {field: longest(values) for field, values in grammar.values.items()} | {"objects": names}
    tokens = [token for piece in answer_pieces(answer) for token in maker.ids(piece)]
    assert len(tokens) + 1 == grammar.longest
    assert is_valid({field: answer[field] for field in FIELDS}, grammar.values, grammar.objects)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"action": "Sing"}, id="label-of-no-vocabulary"),
        pytest.param({"contact": "perhaps"}, id="value-of-no-closed-set"),
        pytest.param({"objects": ["cup", "cup"]}, id="name-twice"),
        pytest.param({"objects": ["spoon"]}, id="unknown-name"),
        pytest.param({"objects": "cup"}, id="no-list"),
        pytest.param({"more": 1}, id="another-key"),
    ],
)
def test_what_the_grammar_cannot_say_is_not_valid(grammar, change):
    answer = {name: tiny.answer_of(0)[name] for name in FIELDS}
    assert is_valid(answer, grammar.values, grammar.objects)
    assert not is_valid(answer | change, grammar.values, grammar.objects)


def test_the_grammar_takes_the_tokens_that_training_supervises(grammar, maker):
    answer = tiny.answer_of(2) | {"action": 'Say "Pick"', "subtask": None}
    state = grammar.start()
    for piece in answer_pieces(answer):
        for token in maker.ids(piece):
            assert token in grammar.allowed(state)
            state = grammar.advance(state, token)
    assert grammar.done(state)


def test_an_untrained_model_answers_validly_and_alike_alone_and_in_a_batch(grammar, maker, mixed, thinker):
    rows = [maker.row(mixed.read(number), with_answer=False) for number in range(4)]
    together = [one.answer for one in answers(thinker, rows, grammar, maker.tokenizer)]
    assert all(valid(answer) for answer in together)
    assert together[2] == answers(thinker, rows[2:3], grammar, maker.tokenizer)[0].answer


def test_every_one_of_1024_answers_of_an_untrained_model_is_valid(grammar, maker, thinker):
    samples = tiny.ShownLabels("test", sessions=256, windows=4, media=("v", "a", "va", ""), seed=2)
    rows = [maker.row(samples.read(number), with_answer=False) for number in range(1024)]
    found = [
        one.answer for start in range(0, 1024, 128)
        for one in answers(thinker, rows[start : start + 128], grammar, maker.tokenizer)
    ]  # fmt: skip
    assert sum(map(valid, found)) == len(found) == 1024


def test_answers_are_those_of_generate_held_to_the_grammar_token_by_token(grammar, maker, mixed, thinker):
    rows = [maker.row(mixed.read(number), with_answer=False) for number in range(4)]
    batch = padded(rows, maker.tokenizer.pad_token_id, left=True)
    batch.pop("labels")
    begin = batch["input_ids"].shape[1]

    def allowed(_row, ids):
        state = grammar.start()
        for token in ids[begin:].tolist():
            if token == grammar.end:
                return [maker.tokenizer.pad_token_id]
            state = grammar.advance(state, token)
        return grammar.allowed(state)

    found = thinker.generate(
        **batch, max_new_tokens=grammar.longest, do_sample=False, prefix_allowed_tokens_fn=allowed,
        eos_token_id=grammar.end, pad_token_id=maker.tokenizer.pad_token_id,
    )  # fmt: skip
    texts = maker.tokenizer.batch_decode(found[:, begin:], skip_special_tokens=True)
    assert [one.answer for one in answers(thinker, rows, grammar, maker.tokenizer)] == list(map(json.loads, texts))


@pytest.mark.parametrize("score_bytes", [pytest.param(1, id="one-by-one"), pytest.param(1 << 30, id="at-once")])
def test_probabilities_on_a_shared_prefill_are_those_of_separate_passes(grammar, maker, mixed, thinker, score_bytes):
    rows = [maker.row(mixed.read(number), with_answer=False) for number in (3, 2)]
    found = answers(thinker, rows, grammar, maker.tokenizer, score_bytes=score_bytes)
    opening = maker.ids('{"action":"')
    for row, one in zip(rows, found, strict=True):
        scores = []
        for label in grammar.values["action"]:
            tokens = maker.ids(quoted(label))
            batch = padded([row], 0)
            batch.pop("labels")
            batch["input_ids"] = torch.tensor([[*row.ids, *opening, *tokens]])
            batch["attention_mask"] = torch.ones_like(batch["input_ids"])
            with torch.no_grad():
                logits = thinker(**batch, use_cache=False).logits[0].log_softmax(-1)
            begin = len(row.ids) + len(opening)
            scores.append(sum(float(logits[begin + place - 1, token]) for place, token in enumerate(tokens)))
        assert torch.allclose(one.chances, torch.tensor(scores).double().softmax(-1), atol=1e-5)


def test_labels_that_all_begin_alike_are_scored_from_their_first_token(maker, mixed, thinker):
    row = maker.row(mixed.read(3), with_answer=False)
    several = VOCABULARY | {"action": ["Pick", "Pick up", "Pick up kettle"]}
    chances = []
    for vocabulary in (several, several | {"action": [*several["action"], "Open the drawer"]}):
        grammar = AnswerGrammar(maker.ids, vocabulary, maker.tokenizer.eos_token_id)
        found = answers(thinker, [row], grammar, maker.tokenizer, score_bytes=1 << 30)[0]
        assert found.answer["action"] in vocabulary["action"]
        chances.append(dict(zip(grammar.values["action"], found.chances.tolist(), strict=True)))
    alone, among_others = chances
    of_all = sum(among_others[name] for name in alone)
    assert alone == pytest.approx({name: among_others[name] / of_all for name in alone}, abs=1e-6)


def test_the_real_models_labels_are_scored_in_chunks_that_the_memory_holds():
    text = SimpleNamespace(**real_config()["text_config"])
    assert kv_bytes_per_token(text, torch.bfloat16) == 98_304
    assert 885 * 1300 * kv_bytes_per_token(text, torch.bfloat16) > 113e9
    most = labels_at_once(text, torch.bfloat16, prompt=1300, longest=12, score_bytes=4096 * MIB)
    of_one = 98_304 * 1312 + 2 * 4 * 12 * 152_064
    assert most * of_one <= 4096 * MIB < (most + 1) * of_one
    assert labels_at_once(text, torch.bfloat16, prompt=1300, longest=12, score_bytes=1) == 1
