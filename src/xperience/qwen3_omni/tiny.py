"""A tiny thinker with random weights, and samples whose frames show their label: tests and demo train it on a CPU.

The same classes as the real model; a tokenizer that is trained in some milliseconds.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xperience.qwen3_omni.collate import POSITIONS_PER_SECOND
from xperience.qwen3_omni.prompt import QUESTION, SYSTEM, answer_text
from xperience.qwen3_omni.sample import HERTZ, Sample, SampleFacts

SPECIALS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>",
    "<|video_pad|>", "<|audio_start|>", "<|audio_end|>", "<|audio_pad|>",
)  # fmt: skip
VOCABULARY = 640
HEAD_DEVIATION = 0.5
ACTIONS = ("Pour the water", "Pick up kettle", "Put down cup", "Open the drawer")


def tiny_tokenizer() -> Any:
    """Byte-level BPE of 640 tokens; every text comes back from its tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(unk_token=None))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(SPECIALS), show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=[],
    )  # fmt: skip
    texts = [SYSTEM, QUESTION, "system\nuser\nassistant\n", *(answer_text(answer_of(n)) for n in range(len(ACTIONS)))]
    tokenizer.train_from_iterator(texts * 8, trainer)
    tokenizer.add_special_tokens(list(SPECIALS))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", padding_side="right",  # noqa: S106
        extra_special_tokens={
            "image_token": "<|image_pad|>", "audio_token": "<|audio_pad|>", "video_token": "<|video_pad|>",
            "vision_bos_token": "<|vision_start|>", "vision_eos_token": "<|vision_end|>",
            "audio_bos_token": "<|audio_start|>", "audio_eos_token": "<|audio_end|>",
        },
    )  # fmt: skip


def tiny_config(tokenizer: Any) -> Any:
    """Three text layers of width 64 with four experts, a vision tower of three layers, an audio tower of two."""
    from transformers.models.qwen3_omni_moe.configuration_qwen3_omni_moe import Qwen3OmniMoeThinkerConfig

    number = tokenizer.convert_tokens_to_ids
    config = Qwen3OmniMoeThinkerConfig(
        audio_config=dict(
            num_mel_bins=128, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=64, d_model=32,
            output_dim=64, n_window=50, n_window_infer=400, downsample_hidden_size=16, max_source_positions=1500,
        ),
        vision_config=dict(
            depth=3, hidden_size=32, intermediate_size=64, num_heads=2, patch_size=16, spatial_merge_size=2,
            temporal_patch_size=2, out_hidden_size=64, num_position_embeddings=64, deepstack_visual_indexes=[0, 1],
        ),
        text_config=dict(
            vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=3,
            num_attention_heads=4, num_key_value_heads=2, head_dim=16, moe_intermediate_size=32, num_experts=4,
            num_experts_per_tok=2, max_position_embeddings=8192, pad_token_id=number("<|endoftext|>"),
            rope_parameters=dict(rope_type="default", rope_theta=1e6, mrope_section=[4, 2, 2], mrope_interleaved=True),
        ),
        audio_token_id=number("<|audio_pad|>"), image_token_id=number("<|image_pad|>"),
        video_token_id=number("<|video_pad|>"), audio_start_token_id=number("<|audio_start|>"),
        position_id_per_seconds=POSITIONS_PER_SECOND,
    )  # fmt: skip
    # get_rope_index reads these, the class does not declare them.
    config.vision_start_token_id = number("<|vision_start|>")
    config.vision_end_token_id = number("<|vision_end|>")
    config.audio_end_token_id = number("<|audio_end|>")
    return config


def tiny_thinker(config: Any, seed: int = 0) -> Any:
    """Random weights from a seed, in float32.

    The head is drawn wider than the rest: it does not train, and with a deviation of 0.02 no answer could become sure.
    """
    from transformers import Qwen3OmniMoeThinkerForConditionalGeneration

    torch.manual_seed(seed)
    config._attn_implementation = "sdpa"
    model = Qwen3OmniMoeThinkerForConditionalGeneration(config)
    torch.nn.init.normal_(model.lm_head.weight, std=HEAD_DEVIATION)
    model.set_experts_implementation("eager")
    return model


def write_tiny_base(folder: Path, seed: int = 0) -> Path:
    """A base model's folder, as `--base` takes it."""
    tokenizer = tiny_tokenizer()
    tiny_thinker(tiny_config(tokenizer), seed).save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)  # safetensors writes it for its owner alone
    tokenizer.save_pretrained(folder)
    return folder


def answer_of(label: int) -> dict[str, Any]:
    """The answer that goes with a label."""
    return {
        "action": ACTIONS[label], "subtask": "Make coffee", "objects": ["kettle", "cup", "tap"][: label % 3 + 1],
        "contact": ("yes", "no")[label % 2], "transition": "no",
        "next_action": ACTIONS[(label + 1) % len(ACTIONS)],
    }  # fmt: skip


class ShownLabels:
    """Samples whose colour is their label: `sessions` of `windows` each; `media` are v, a, va and nothing by turns.

    `shuffled` deals the labels anew, so that frames say nothing about them.
    """

    def __init__(
        self, split: str, *, sessions: int, windows: int = 4, seed: int = 0, media: Sequence[str] = ("v",),
        side: int = 32, frames: int = 2, shuffled: bool = False,
    ) -> None:  # fmt: skip
        self.content_sha256 = f"{split}-{sessions}-{windows}-{seed}-{shuffled}".encode().hex().ljust(64, "0")
        self._media, self._side, self._frames, self._seed = media, side, frames, seed
        deal = np.random.default_rng([seed, len(split)])
        self.shown = [int(label) for label in deal.integers(0, len(ACTIONS), sessions * windows)]
        told = [int(label) for label in deal.permutation(self.shown)] if shuffled else self.shown
        self._facts = [
            SampleFacts(
                id=f"{split}-{number // windows:02d}:20:{number % windows:06d}",
                session=f"{split}-{number // windows:02d}", episode=f"{split}-{number // windows:02d}__ep1",
                split=split, answer=answer_of(told[number]), begin_seconds=0.5, end_seconds=1.5,
                frames=frames if "v" in self._kind(number) else 0, height=side, width=side,
                samples=HERTZ if "a" in self._kind(number) else 0, place=number % windows / windows,
            )
            for number in range(sessions * windows)
        ]  # fmt: skip

    def _kind(self, number: int) -> str:
        return self._media[number % len(self._media)]

    @property
    def facts(self) -> list[SampleFacts]:
        """All, in order."""
        return self._facts

    def read(self, number: int) -> Sample:
        """Frames of one colour with some noise, a tone of one pitch."""
        facts, label = self._facts[number], self.shown[number]
        noise = np.random.default_rng([self._seed, number])
        colour = np.array([[220, 30, 30], [30, 220, 30], [30, 30, 220], [220, 220, 30]])[label]
        shape = (facts.frames, self._side, self._side, 3)
        pictures = np.clip(colour + noise.normal(0, 8, shape), 0, 255).astype(np.uint8) if facts.frames else None
        tone = np.sin(np.arange(facts.samples) * (0.05 * (label + 1))).astype(np.float32) * 0.3
        return Sample(
            id=facts.id, answer=facts.answer, begin_seconds=facts.begin_seconds, end_seconds=facts.end_seconds,
            frames=pictures, frame_seconds=0.35, waveform=tone if facts.samples else None,
        )  # fmt: skip
