"""The thinker and its adapter: what is loaded, what trains, and a report of both."""

import json
from pathlib import Path
from typing import Any, Literal

import torch

from xperience.common.errors import ConfigurationError
from xperience.common.evidence import Part
from xperience.qwen3_omni.weights import no_base
from xperience.training.quiet import quiet

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
# The audio tower's projections have the same leaf names; a regex in `target_modules` would be cut down to leaf names.
TOWERS = r".*(audio_tower|visual).*"
EXPERTS = ("mlp.experts.gate_up_proj", "mlp.experts.down_proj")
GROUPS = ("audio_tower", "visual", "experts", "self_attn")


class GroupCount(Part):
    """Tensors and parameters of one part of the model."""

    tensors: int
    parameters: int


class Trained(Part):
    """What trains, and what does not, by part of the model."""

    trained: dict[str, GroupCount]
    frozen: dict[str, GroupCount]

    @property
    def parameters(self) -> int:
        """All that train."""
        return sum(group.parameters for group in self.trained.values())


def real_config() -> dict[str, Any]:
    """The text, vision and audio configuration of the 30B-A3B checkpoint, for the meta device."""
    return {
        "text_config": {
            "vocab_size": 152_064, "hidden_size": 2048, "intermediate_size": 768, "num_hidden_layers": 48,
            "num_attention_heads": 32, "num_key_value_heads": 4, "head_dim": 128, "moe_intermediate_size": 768,
            "num_experts": 128, "num_experts_per_tok": 8, "max_position_embeddings": 65_536,
            "rope_parameters": {
                "rope_type": "default", "rope_theta": 1e6, "mrope_section": [24, 20, 20], "mrope_interleaved": True,
            },
        },
        "vision_config": {
            "depth": 27, "hidden_size": 1152, "intermediate_size": 4304, "num_heads": 16, "patch_size": 16,
            "spatial_merge_size": 2, "temporal_patch_size": 2, "out_hidden_size": 2048,
            "num_position_embeddings": 2304, "deepstack_visual_indexes": [8, 16, 24],
        },
        "audio_config": {
            "num_mel_bins": 128, "encoder_layers": 32, "encoder_attention_heads": 20, "encoder_ffn_dim": 5120,
            "d_model": 1280, "output_dim": 2048, "n_window": 50, "n_window_infer": 800,
            "downsample_hidden_size": 480, "max_source_positions": 1500,
        },
    }  # fmt: skip


def meta_thinker() -> Any:
    """The real model without memory: for counts and plans."""
    from transformers import Qwen3OmniMoeThinkerForConditionalGeneration
    from transformers.models.qwen3_omni_moe.configuration_qwen3_omni_moe import Qwen3OmniMoeThinkerConfig

    with torch.device("meta"):
        return Qwen3OmniMoeThinkerForConditionalGeneration(Qwen3OmniMoeThinkerConfig(**real_config()))


def load_tokenizer(base: Path) -> Any:
    """The tokenizer of a checkpoint on disk; ConfigurationError."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(base)
    except (OSError, ValueError) as error:
        raise no_base(base, error) from error


def declare_tokens(thinker: Any, tokenizer: Any) -> None:
    """Give the configuration the tokens that get_rope_index reads and its class does not declare."""
    for name in ("vision_start", "vision_end", "audio_end"):
        if not hasattr(thinker.config, f"{name}_token_id"):
            setattr(thinker.config, f"{name}_token_id", tokenizer.convert_tokens_to_ids(f"<|{name}|>"))


def load_thinker(base: Path, dtype: torch.dtype | Literal["auto"]) -> tuple[Any, Any]:
    """Thinker and tokenizer of a checkpoint on disk: the whole model's or the thinker's own; ConfigurationError.

    "auto" is the dtype that the checkpoint has.
    """
    import transformers
    from transformers import Qwen3OmniMoeThinkerForConditionalGeneration

    quiet(transformers)
    try:
        architecture = json.loads((base / "config.json").read_text())["architectures"][0]
    except (OSError, ValueError, LookupError) as error:
        raise no_base(base, error) from error
    if "Thinker" in architecture:
        thinker = Qwen3OmniMoeThinkerForConditionalGeneration.from_pretrained(base, dtype=dtype)
    else:
        from transformers import Qwen3OmniMoeForConditionalGeneration

        thinker = Qwen3OmniMoeForConditionalGeneration.from_pretrained(base, dtype=dtype, enable_audio_output=False)
        thinker = thinker.thinker
    tokenizer = load_tokenizer(base)
    declare_tokens(thinker, tokenizer)
    return thinker, tokenizer


def add_adapter(thinker: Any, *, rank: int, alpha: int, dropout: float, experts: bool = False) -> Any:
    """LoRA in float32 on the text model's attention, and on its experts if asked; ConfigurationError where more trains.

    peft's own check of `target_parameters` wants dropout 0 with experts.
    """
    from peft import LoraConfig, get_peft_model

    if experts and dropout:
        raise ConfigurationError(
            "dropout on experts", where="--lora-dropout", why=f"{dropout}", fix="Give 0 with --experts."
        )
    config = LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=dropout, bias="none", target_modules=list(ATTENTION),
        exclude_modules=TOWERS, target_parameters=list(EXPERTS) if experts else None,
    )  # fmt: skip
    model = get_peft_model(thinker, config)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    check_trained(report(model), layers=thinker.config.text_config.num_hidden_layers, experts=experts)
    return model


def report(model: Any) -> Trained:
    """Every parameter, by part of the model, and whether it trains."""
    sides: dict[bool, dict[str, list[int]]] = {True: {}, False: {}}
    for name, parameter in model.named_parameters():
        group = next((group for group in GROUPS if group in name), "other")
        counted = sides[parameter.requires_grad].setdefault(group, [0, 0])
        counted[0] += 1
        counted[1] += parameter.numel()
    trained, frozen = (
        {name: GroupCount(tensors=count, parameters=size) for name, (count, size) in sorted(sides[side].items())}
        for side in (True, False)
    )
    return Trained(trained=trained, frozen=frozen)


def check_trained(found: Trained, *, layers: int, experts: bool) -> None:
    """ConfigurationError unless A and B of four projections per layer train, those of the experts, and nothing else."""
    expected = {"self_attn": 2 * len(ATTENTION) * layers} | ({"experts": 2 * len(EXPERTS) * layers} if experts else {})
    tensors = {name: group.tensors for name, group in found.trained.items()}
    if tensors != expected:
        raise ConfigurationError(
            "other modules train than were meant", where="LoRA", why=f"tensors {tensors}, expected {expected}",
            fix="Use the versions of requirements/train.txt: module names change between versions of transformers.",
        )  # fmt: skip


def text_layers(model: Any) -> list[torch.nn.Module]:
    """The decoder layers of the text model, found by their class: their path changes between versions."""
    return [module for module in model.modules() if type(module).__name__ == "Qwen3OmniMoeThinkerTextDecoderLayer"]
