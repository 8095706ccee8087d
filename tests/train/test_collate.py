import dataclasses
import json

import pytest
import torch

from xperience.common.errors import BadDataError
from xperience.qwen3_omni import prompt
from xperience.qwen3_omni.collate import IGNORED, packed, padded

KINDS = [
    pytest.param(0, id="video"),
    pytest.param(1, id="audio"),
    pytest.param(2, id="both"),
    pytest.param(3, id="none"),
]


@pytest.mark.parametrize("number", KINDS)
def test_what_is_supervised_reads_as_the_answer_and_its_end(maker, mixed, number):
    row = maker.row(mixed.read(number))
    maker.check_labels(row)
    read = maker.tokenizer.decode([label for label in row.labels if label != IGNORED])
    assert read == row.answer + "<|im_end|>"
    assert json.loads(row.answer) == dict(mixed.facts[number].answer)


@pytest.mark.parametrize("number", KINDS)
def test_tokens_are_counted_before_the_media_are_read(maker, mixed, number):
    row = maker.row(mixed.read(number))
    assert maker.counts(mixed.facts[number]) == (len(row.ids), sum(label != IGNORED for label in row.labels))


@pytest.mark.parametrize("number", KINDS)
def test_a_mask_from_the_unexpanded_prompt_fails_the_gate_by_the_media_expansion(maker, mixed, number):
    row = maker.row(mixed.read(number))
    answer_begins = next(place for place, label in enumerate(row.labels) if label != IGNORED)
    tokens = [maker.tokenizer.convert_tokens_to_ids(name) for name in ("<|video_pad|>", "<|audio_pad|>")]
    expansion = sum(max(0, row.ids.count(token) - 1) for token in tokens)
    unexpanded = answer_begins - expansion  # what tokenising the chat's text with one placeholder per medium gives
    wrong = dataclasses.replace(row, labels=[IGNORED] * unexpanded + row.ids[unexpanded:])
    surplus = sum(label != IGNORED for label in wrong.labels) - sum(label != IGNORED for label in row.labels)
    assert surplus == expansion
    if number == 3:
        assert expansion == 0
        maker.check_labels(wrong)
    else:
        with pytest.raises(BadDataError, match="supervised tokens are not the answer"):
            maker.check_labels(wrong)


def test_the_gate_fails_where_the_end_is_not_supervised(maker, mixed):
    row = maker.row(mixed.read(3))
    with pytest.raises(BadDataError):
        maker.check_labels(dataclasses.replace(row, labels=[*row.labels[:-1], IGNORED]))


@pytest.mark.parametrize("number", KINDS)
def test_positions_are_those_of_the_model(maker, mixed, thinker, number):
    row = maker.row(mixed.read(number))
    batch = padded([row], maker.tokenizer.pad_token_id)
    lengths = batch["feature_attention_mask"].sum(-1) if "feature_attention_mask" in batch else None
    expected, _ = thinker.get_rope_index(
        batch["input_ids"], image_grid_thw=None, video_grid_thw=batch.get("video_grid_thw"),
        attention_mask=batch["attention_mask"], use_audio_in_video=False, audio_seqlens=lengths,
        second_per_grids=batch.get("video_second_per_grid"),
    )  # fmt: skip
    assert torch.allclose(row.positions[1:], expected[:, 0].float(), atol=1e-4)


def test_neither_labels_of_others_nor_names_are_in_the_prompt(maker, mixed):
    text = maker.tokenizer.decode(maker.row(mixed.read(0), with_answer=False).ids)
    assert not any(str(value) in text for value in ("Make coffee", "kettle", mixed.facts[0].session, "Pour"))
    assert text.endswith("assistant\n")


def test_packing_gives_every_row_the_logits_that_it_has_alone(maker, mixed, thinker):
    rows = [maker.row(mixed.read(number)) for number in range(4)]
    batch = packed(rows)
    batch.pop("labels")
    with torch.no_grad():
        together = thinker(**batch, use_cache=False).logits[0]
        start = 0
        for row in rows:
            alone = padded([row], maker.tokenizer.pad_token_id)
            alone.pop("labels")
            logits = thinker(**alone, use_cache=False).logits[0]
            assert (together[start : start + len(row.ids)] - logits).abs().max() < 1e-5
            start += len(row.ids)


def test_an_answers_pieces_join_to_one_json_object_with_its_quotes_escaped():
    answer = {"action": 'Say "go"', "subtask": None, "objects": ["a", "b\\c"], "contact": "no", "transition": "yes",
              "next_action": "ü"}  # fmt: skip
    assert json.loads(prompt.answer_text(answer)) == answer | {"subtask": "unknown"}
