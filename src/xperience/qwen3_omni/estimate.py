"""What a run takes: memory of a GPU, tokens of a step and hours, each by a formula that is printed with its numbers."""

from dataclasses import dataclass

from xperience.common.evidence import Part

# Of the real model, counted on the meta device (tests/train/test_model.py).
FROZEN_PARAMETERS = 31_719_205_488
LAYER_PARAMETERS = 29_909_790_720
ACTIVE_TEXT_PARAMETERS = 2_730_700_800
TOWER_PARAMETERS = 1_187_000_000
HIDDEN, LAYERS, VOCABULARY = 2048, 48, 152_064
HEADS_WIDTH = 32 * 128
EXPERTS_PER_TOKEN, EXPERT_WIDTH = 8, 768
# Kept free: the context of CUDA, NCCL's buffers, fragments of the allocator.
RESERVED_GB = 6.0
# Dense bf16 peak of a GPU, TFLOP/s, by its memory: A100/H100 80 GB, H20 96 GB, H200 141 GB.
PEAK_TFLOPS = {80: 989.0, 96: 148.0, 141: 989.0}
# Not measured here: small experts and a text of some 1,300 tokens keep a GPU far below its peak.
ASSUMED_MFU = 0.15
WINDOW_TOKENS, ANSWER_TOKENS = 1_300, 75


class Estimate(Part):
    """One set-up. `strategy` is ddp, fsdp, or none where the model does not fit; memory is of one GPU."""

    hosts: int
    gpus_per_host: int
    gpu_memory_gb: int
    strategy: str
    weights_gb: float
    adapter_gb: float
    activations_gb: float
    peak_gb: float
    tokens_per_step: int
    windows_per_step: float
    steps: int
    step_seconds: float
    hours: float


@dataclass(frozen=True, slots=True)
class Assumed:
    """What a plan reckons with."""

    windows: int = 32_768
    epochs: int = 1
    window_tokens: int = WINDOW_TOKENS
    pack_tokens: int = 8192
    packs_per_step: int = 16
    trained_parameters: int = 13_369_344
    mfu: float = ASSUMED_MFU


def estimate(hosts: int, gpus_per_host: int, gpu_memory_gb: int, assumed: Assumed) -> Estimate:
    """The formulas of `FORMULAS`; ddp where it fits, else fsdp where it fits."""
    gpus = hosts * gpus_per_host
    adapter = assumed.trained_parameters * 16 / 1e9
    kept = assumed.pack_tokens * HIDDEN * LAYERS * 2
    inside = assumed.pack_tokens * (EXPERTS_PER_TOKEN * (3 * EXPERT_WIDTH + 2 * HIDDEN) + 12 * HIDDEN) * 2 * 2
    answers = assumed.pack_tokens / assumed.window_tokens * ANSWER_TOKENS
    mask = assumed.pack_tokens**2 * 2
    activations = (kept + inside + answers * VOCABULARY * 4 * 3 + mask) / 1e9
    whole = FROZEN_PARAMETERS * 2 / 1e9
    sharded = (FROZEN_PARAMETERS - LAYER_PARAMETERS + LAYER_PARAMETERS / gpus + 2 * LAYER_PARAMETERS / LAYERS) * 2 / 1e9
    strategy, weights, held = "none", whole, adapter
    room = gpu_memory_gb - RESERVED_GB - activations
    if whole + adapter <= room:
        strategy = "ddp"
    elif gpus > 1 and sharded + adapter / gpus <= room:
        strategy, weights, held = "fsdp", sharded, adapter / gpus
    tokens = assumed.pack_tokens * assumed.packs_per_step
    steps = -(-assumed.windows * assumed.epochs * assumed.window_tokens // tokens)
    of_text, of_towers = 6 * ACTIVE_TEXT_PARAMETERS, 4 * 2 * TOWER_PARAMETERS
    of_attention = 4 * 4 * assumed.pack_tokens * HEADS_WIDTH * LAYERS
    operations = tokens * (of_text + of_towers + of_attention)
    step_seconds = operations / (gpus * PEAK_TFLOPS[gpu_memory_gb] * 1e12 * assumed.mfu)
    return Estimate(
        hosts=hosts, gpus_per_host=gpus_per_host, gpu_memory_gb=gpu_memory_gb, strategy=strategy,
        weights_gb=round(weights, 1), adapter_gb=round(held, 2), activations_gb=round(activations, 1),
        peak_gb=round(weights + held + activations + RESERVED_GB, 1), tokens_per_step=tokens,
        windows_per_step=round(tokens / assumed.window_tokens, 1), steps=steps,
        step_seconds=round(step_seconds, 2), hours=round(steps * step_seconds / 3600, 2),
    )  # fmt: skip


FORMULAS = (
    "weights: 2 bytes × 31.72 × 10⁹ frozen parameters; fsdp: text layers divided by the GPUs, two of them gathered",
    "adapter: 16 bytes × trained parameters (float32 weight, gradient, two moments)",
    "activations: recomputed; kept inputs of 48 layers + one layer at work + float32 logits of answer tokens alone, ×3"
    " + SDPA's mask of a pack, 2 × S²",
    f"{RESERVED_GB:g} GB of a GPU are kept free; the peak includes them",
    "hours: steps × tokens of a step × (6 × 2.73 × 10⁹ active text parameters: forward twice and gradients of inputs;"
    " 8 × 1.19 × 10⁹ of the towers, an upper bound; 16 × S × 4096 × 48 of attention over all S tokens of a pack, which"
    " SDPA computes and masks) ÷ (GPUs × peak × MFU)",
    "peak, dense bf16: 989 TFLOP/s (H100 80 GB, H200 141 GB), 148 (H20 96 GB); the MFU is assumed, not measured",
)


def all_estimates(assumed: Assumed) -> list[Estimate]:
    """1×, 8× and 2×8 GPUs of 80, 96 and 141 GB."""
    return [
        estimate(hosts, gpus, memory, assumed)
        for hosts, gpus in ((1, 1), (1, 8), (2, 8)) for memory in sorted(PEAK_TFLOPS)
    ]  # fmt: skip
