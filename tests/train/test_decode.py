import json
import random

import pytest
import torch

from xperience.qwen3_omni import tiny
from xperience.qwen3_omni.collate import padded
from xperience.qwen3_omni.decode import answers, label_probabilities
from xperience.qwen3_omni.grammar import AnswerGrammar
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
    together = answers(thinker, rows, grammar, maker.tokenizer)
    assert all(valid(answer) for answer in together)
    assert together[2] == answers(thinker, rows[2:3], grammar, maker.tokenizer)[0]


@pytest.mark.parametrize("cache_bytes", [pytest.param(1, id="one-by-one"), pytest.param(1 << 30, id="at-once")])
def test_probabilities_on_a_shared_prefill_are_those_of_separate_passes(maker, mixed, thinker, cache_bytes):
    row = maker.row(mixed.read(2), with_answer=False)
    opening, labels = maker.ids('{"action":"'), VOCABULARY["action"]
    found = label_probabilities(thinker, row, opening, labels, maker.ids, cache_bytes=cache_bytes)
    scores = []
    for label in labels:
        tokens = maker.ids(quoted(label))
        batch = padded([row], 0)
        batch.pop("labels")
        batch["input_ids"] = torch.tensor([[*row.ids, *opening, *tokens]])
        batch["attention_mask"] = torch.ones_like(batch["input_ids"])
        with torch.no_grad():
            logits = thinker(**batch, use_cache=False).logits[0].log_softmax(-1)
        begin = len(row.ids) + len(opening)
        scores.append(sum(float(logits[begin + place - 1, token]) for place, token in enumerate(tokens)))
    assert torch.allclose(found, torch.tensor(scores).double().softmax(-1), atol=1e-5)
