"""`xperience qwen3-omni`."""

from pathlib import Path
from typing import Literal

from xperience.common.settings import EVIDENCE, CommonSettings, Settings, setting


class Qwen3OmniTrainSettings(CommonSettings):
    """`xperience qwen3-omni train`."""

    windows: Path = setting(Path("results/windows"), "Folder of the windows.")
    base: Path = setting(Path("models/Qwen3-Omni-30B-A3B-Instruct"), "Folder of the base model.", env=("MODEL_ROOT",))
    revision: str = setting(
        "", "Commit of the base model, recorded; refused where its download says another. Without it what that says."
    )
    output: Path = setting(Path("results/qwen3-omni"), "Folder of checkpoints, adapter and metrics.")
    strategy: Literal["ddp", "fsdp"] = setting("ddp", "ddp: the whole model on each GPU; fsdp: text layers sharded.")
    dtype: Literal["bfloat16", "float32"] = setting("bfloat16", "Of the frozen weights; the adapter is float32.")
    lora_rank: int = setting(16, "Rank of the adapter.", ge=1)
    lora_alpha: int = setting(32, "Scale of the adapter.", ge=1)
    lora_dropout: float = setting(0.05, "Dropout of the adapter; 0 with --experts.", ge=0, lt=1)
    experts: bool = setting(False, "Train the experts as well.")
    learning_rate: float = setting(1e-4, "Highest learning rate.", gt=0)
    warm_up_steps: int = setting(20, "Steps until it is reached; a cosine to a tenth of it follows.", ge=0)
    clip_norm: float = setting(1.0, "Longest gradient.", gt=0)
    epochs: int = setting(1, "Times that every window is seen.", ge=1)
    seed: int = setting(7, "Seed of order and dropout.")
    pack_tokens: int = setting(8192, "Most tokens of a pack: one forward pass of one process.", ge=64)
    packs_per_step: int = setting(16, "Packs of an optimiser step; a multiple of every possible number of processes.")
    recompute: bool = setting(True, "Recompute activations in the backward pass: less memory, a third more work.")
    loader_workers: int = setting(4, "Processes that read media, per process of the run.", ge=0)
    checkpoint_every_steps: int = setting(25, "Steps that a kill -9 costs at most.", ge=1)
    validate_every_steps: int = setting(50, "Steps between two validations.", ge=1)
    validation_windows: int = setting(512, "Windows of val, evenly chosen.", ge=1)
    patience: int = setting(3, "Stop after so many validations in a row without a better one; 0 never.", ge=0)
    metrics_port: int | None = setting(None, "Serve Prometheus metrics of rank 0 on this port; 0 picks one.")
    processes: int = setting(1, "Processes (GPUs) of this host; PyTorchJob's PET_NPROC_PER_NODE wins.", ge=1)


class Qwen3OmniPlanSettings(Settings):
    """`xperience qwen3-omni plan`."""

    plan_windows: int = setting(32_768, "Windows of an epoch.", ge=1)
    epochs: int = setting(1, "Epochs.", ge=1)
    window_tokens: int = setting(1_300, "Tokens of a window, media and answer included.", ge=1)
    pack_tokens: int = setting(8192, "Most tokens of a pack.", ge=64)
    packs_per_step: int = setting(16, "Packs of an optimiser step.", ge=1)
    mfu: float = setting(0.15, "Share of a GPU's peak that is assumed.", gt=0, le=1)
    json_output: bool = setting(False, "Print the result as JSON on stdout.", flag="--json")


class Qwen3OmniEvaluateSettings(CommonSettings):
    """`xperience qwen3-omni evaluate`."""

    windows: Path = setting(Path("results/windows"), "Folder of the windows.")
    base: Path = setting(Path("models/Qwen3-Omni-30B-A3B-Instruct"), "Folder of the base model.", env=("MODEL_ROOT",))
    output: Path = setting(Path("results/qwen3-omni"), "Folder of the run: run.json, best/, evaluation/.")
    evidence: Path = setting(EVIDENCE, "Folder of artefacts, where gates and report find the evaluation.")
    dtype: Literal["bfloat16", "float32"] = setting("bfloat16", "Of the weights.")
    zero_shot: bool = setting(False, "Answer with the base model alone: a baseline of the report.")
    batch: int = setting(16, "Windows that are answered at the same time.", ge=1)
    score_mib: int = setting(
        4096, "Memory that the labels of a window are scored in, MiB: a copy of its cache for as many as fit.", ge=1
    )
    shard: str = setting("", "Answer every N-th window: i/N from 0, or i of --shards.", env=("JOB_COMPLETION_INDEX",))
    shards: int = setting(1, "Number of shards; a Job's completions.", ge=1)
    merge: bool = setting(False, "Answer nothing: make the report of the answers of all --shards.")
    least_action_gain: float | None = setting(
        None, "Fail where the accuracy of actions is not above every fair baseline by this much; without it quality is"
        " reported alone.",
    )  # fmt: skip
    json_output: bool = setting(False, "Print the report as JSON on stdout.", flag="--json")


class Qwen3OmniMergeSettings(Settings):
    """`xperience qwen3-omni merge`."""

    base: Path = setting(Path("models/Qwen3-Omni-30B-A3B-Instruct"), "Folder of the base model.", env=("MODEL_ROOT",))
    adapter: Path = setting(Path("results/qwen3-omni/best"), "Folder of the adapter.")
    merged: Path = setting(Path("models/qwen3-omni-merged"), "Folder of the merged model; must not be there.")
    compare: bool = setting(True, "Load both, one after the other, and report how far their logits are apart.")
