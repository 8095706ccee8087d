"""A tiny Cosmos3-Nano with random weights: the same classes and the same architecture, narrow. Tests and L0 run it."""

import json
from pathlib import Path
from typing import Any

import torch

SPECIALS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# What the 15B transformer of nvidia/Cosmos3-Nano is built with; the defaults of the classes are other models.
NANO: dict[str, Any] = {
    "hidden_size": 4096, "head_dim": 128, "num_attention_heads": 32, "num_key_value_heads": 8,
    "num_hidden_layers": 36, "intermediate_size": 12288, "vocab_size": 151936, "latent_channel": 48,
    "latent_patch_size": 2, "patch_latent_dim": 192, "action_dim": 64, "action_gen": True,
    "num_embodiment_domains": 32, "sound_gen": True, "sound_dim": 64, "rope_axes_dim": [24, 20, 20],
}  # fmt: skip
NANO_PARAMETERS = 15_173_669_120
TINY = NANO | {
    "hidden_size": 64, "head_dim": 16, "num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 2,
    "intermediate_size": 128, "sound_gen": False, "sound_dim": None, "rope_axes_dim": [4, 2, 2],
}  # fmt: skip
# A nn.Embedding's default, N(0, 1), makes the action heads explode at random.
HEAD_SCALE = 0.02


def tiny_tokenizer() -> Any:
    """256 bytes and Qwen's control tokens; no merges, so every text comes back from its tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={character: n for n, character in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIALS))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")  # noqa: S106
    fast.chat_template = CHATML
    return fast


def tiny_vae() -> Any:
    """The layout of Wan2.2's VAE (48 channels, 16 × in space, 4 × in time), narrow."""
    from diffusers import AutoencoderKLWan

    return AutoencoderKLWan(
        base_dim=8, decoder_base_dim=8, z_dim=48, dim_mult=[1, 2, 4, 4], num_res_blocks=1, attn_scales=[],
        temperal_downsample=[False, True, True], is_residual=True, in_channels=12, out_channels=12, patch_size=2,
        scale_factor_spatial=16, scale_factor_temporal=4, latents_mean=[0.0] * 48, latents_std=[1.0] * 48,
    )  # fmt: skip


def tiny_pipeline(seed: int = 0) -> Any:
    """The whole pipeline, 1.3 million parameters, without NVIDIA's guardrail, which is gated."""
    from diffusers import Cosmos3OmniPipeline, Cosmos3OmniTransformer, UniPCMultistepScheduler

    tokenizer = tiny_tokenizer()
    torch.manual_seed(seed)
    transformer = Cosmos3OmniTransformer(**(TINY | {"vocab_size": len(tokenizer)}))
    with torch.no_grad():
        for head in (transformer.action_proj_in, transformer.action_proj_out):
            head.fc.weight.mul_(HEAD_SCALE)
            head.bias.weight.zero_()
    scheduler = UniPCMultistepScheduler(
        use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=10.0, use_karras_sigmas=False
    )
    pipeline = Cosmos3OmniPipeline(
        transformer=transformer.eval(), text_tokenizer=tokenizer, vae=tiny_vae().eval(), scheduler=scheduler,
        enable_safety_checker=False,
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def tiny_reasoner(tokenizer: Any, seed: int = 0) -> Any:
    """The reasoner's class with a text tower of the tiny generator's width and a vision tower of two layers."""
    from transformers import Cosmos3OmniConfig, Cosmos3OmniForConditionalGeneration

    number = tokenizer.convert_tokens_to_ids
    torch.manual_seed(seed)
    config = Cosmos3OmniConfig(
        text_config=dict(
            model_type="qwen3_vl_text", vocab_size=len(tokenizer), hidden_size=64, head_dim=16, intermediate_size=128,
            num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, rms_norm_eps=1e-6, hidden_act="silu",
            max_position_embeddings=16_384, attention_bias=False,
            rope_parameters=dict(
                rope_type="default", rope_theta=5e6, mrope_interleaved=True, mrope_section=[4, 2, 2]
            ),
        ),
        vision_config=dict(
            model_type="qwen3_vl_vision", depth=2, hidden_size=32, intermediate_size=64, num_heads=2, in_channels=3,
            patch_size=16, temporal_patch_size=2, spatial_merge_size=2, out_hidden_size=64,
            num_position_embeddings=64, deepstack_visual_indexes=[0, 1], hidden_act="gelu_pytorch_tanh",
        ),
        image_token_id=number("<|image_pad|>"), video_token_id=number("<|video_pad|>"),
        vision_start_token_id=number("<|vision_start|>"), vision_end_token_id=number("<|vision_end|>"),
    )  # fmt: skip
    return Cosmos3OmniForConditionalGeneration(config).eval()


def write_tiny_base(folder: Path, seed: int = 0) -> Path:
    """A base model's folder in the layout of the real one: diffusers and transformers load the same text tower."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    pipeline = tiny_pipeline(seed)
    pipeline.save_pretrained(folder)
    reasoner = tiny_reasoner(pipeline.text_tokenizer, seed)
    place, prefix = "vision_encoder/model.safetensors", "model.visual."
    seen = {
        name.removeprefix(prefix): tensor.contiguous() for name, tensor in reasoner.state_dict().items()
        if name.startswith(prefix)
    }  # fmt: skip
    (folder / "vision_encoder").mkdir(exist_ok=True)
    save_file(seen, folder / place, metadata={"format": "pt"})
    weights = dict.fromkeys(seen, place)
    for file in sorted((folder / "transformer").glob("*.safetensors")):
        with safe_open(file, "pt") as opened:
            weights |= dict.fromkeys(opened.keys(), f"transformer/{file.name}")
    size = sum(tensor.nbytes for network in (pipeline.transformer.state_dict(), seen) for tensor in network.values())
    index = {"metadata": {"total_size": size}, "weight_map": weights}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    told = reasoner.config.to_dict() | {"architectures": ["Cosmos3ForConditionalGeneration"]}
    (folder / "config.json").write_text(json.dumps(told, default=str))
    return folder


def meta_parameters() -> int:
    """Parameters of the real transformer, counted without memory."""
    from diffusers import Cosmos3OmniTransformer

    with torch.device("meta"):
        return sum(parameter.numel() for parameter in Cosmos3OmniTransformer(**NANO).parameters())
