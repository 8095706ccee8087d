import dataclasses
import json

import pytest
import torch

from xperience.common.errors import BadDataError
from xperience.common.settings.qwen3_omni import Qwen3OmniTrainSettings
from xperience.qwen3_omni import prompt
from xperience.qwen3_omni.collate import RowMaker, packed, padded
from xperience.qwen3_omni.packs import Work, loader
from xperience.qwen3_omni.schedule import Pack
from xperience.training.answers import IGNORED

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


def chat_text(facts):
    """The prompt as a chat template writes it, before a processor expands its one placeholder per medium."""
    pieces = prompt.conversation(
        begin_seconds=facts.begin_seconds, end_seconds=facts.end_seconds, video=facts.frames > 0,
        audio=facts.samples > 0, answer=None,
    )  # fmt: skip
    media = {
        "video": "<|vision_start|><|video_pad|><|vision_end|>", "audio": "<|audio_start|><|audio_pad|><|audio_end|>"
    }  # fmt: skip
    return "".join(media.get(piece.kind, piece.text) for piece in pieces)


@pytest.mark.parametrize(
    ("number", "expansion"),
    [
        pytest.param(0, 8 - 1, id="video"),  # 4 frames of 64 × 64: 2 × 2 × 2 tokens
        pytest.param(1, 13 - 1, id="audio"),  # one second
        pytest.param(2, 8 - 1 + 13 - 1, id="both"),
        pytest.param(3, 0, id="none"),
    ],
)
def test_a_mask_from_the_unexpanded_prompt_fails_the_gate_by_the_media_expansion(maker, mixed, number, expansion):
    row = maker.row(mixed.read(number))
    length = len(maker.tokenizer(chat_text(mixed.facts[number]), add_special_tokens=False)["input_ids"])
    wrong = dataclasses.replace(row, labels=[IGNORED] * length + row.ids[length:])
    surplus = sum(label != IGNORED for label in wrong.labels) - sum(label != IGNORED for label in row.labels)
    assert surplus == expansion
    if expansion == 0:
        maker.check_labels(wrong)
    else:
        with pytest.raises(BadDataError, match=rf"supervised tokens are not the answer.* {expansion} of them are of"):
            maker.check_labels(wrong)


@pytest.mark.parametrize("workers", [0, 1])
def test_the_wrong_mask_ends_a_run_at_its_first_step(maker, mixed, monkeypatch, workers):
    settings = Qwen3OmniTrainSettings(loader_workers=workers)
    plain = RowMaker.row

    def with_wrong_mask(self, sample):
        row = plain(self, sample)
        length = len(self.tokenizer(chat_text(mixed.facts[2]), add_special_tokens=False)["input_ids"])
        return dataclasses.replace(row, labels=[IGNORED] * length + row.ids[length:])

    work = [Work(0, 0, Pack((2,), *maker.counts(mixed.facts[2])), counts=True)]
    assert len(list(loader(mixed, maker, work, settings))) == 1
    monkeypatch.setattr(RowMaker, "row", with_wrong_mask)
    with pytest.raises(BadDataError, match=rf"not the answer: {mixed.facts[2].id}: \d+ tokens, 19 of them are of"):
        next(loader(mixed, maker, work, settings))


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
