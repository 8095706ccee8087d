"""`xperience cosmos3-nano`."""

from pathlib import Path
from typing import Any, Literal

from pydantic import model_validator

from xperience.common.errors import RefusedError
from xperience.common.settings import EVIDENCE, CommonSettings, setting

LATER = "Cosmos3-Super"
PLAN = (
    "Do not start with Cosmos3-Super. Cosmos3-Nano is the practical first target; Super is for a later run after data "
    "format, metrics, and compute are stable."
)


class NanoSettings(CommonSettings):
    """What every command of the stage takes."""

    json_output: bool = setting(False, "Print the result as JSON on stdout.", flag="--json")

    @model_validator(mode="before")
    @classmethod
    def _not_super(cls, values: Any) -> Any:
        """RefusedError where any setting names the larger model."""
        for name, value in values.items() if isinstance(values, dict) else ():
            if LATER.casefold().replace("-", "") in str(value).casefold().replace("-", "").replace("_", ""):
                raise RefusedError(f"{LATER} is not for this stage", where=name, why=PLAN)
        return values


class Cosmos3NanoExportSettings(NanoSettings):
    """`xperience cosmos3-nano export`."""

    manifest_json: Path = setting(
        Path("results/omni_finetune/episode_manifest_128.json"), "What `prepare manifest` wrote."
    )
    data_root: Path | None = setting(
        None, "Folder of the staged episodes; without it the manifest's.", env=("TRAINING_DATA_ROOT",)
    )
    records: Path = setting(Path("results/cosmos3-nano"), "Folder of records, clips and the official formats.")
    domain: Literal["hand_pose", "camera_pose"] = setting("hand_pose", "Actions of camera and hands, or of the camera.")
    tier: int = setting(256, "Resolution tier that the records name: 256, 480, 704 or 720.")
    clips: int = setting(16, "Most action clips (17 frames) of an episode, evenly over its time.", ge=1)
    text_clips: int = setting(8, "Most clips (61 frames) of an episode for text tasks and the vision format.", ge=0)
    horizon_seconds: float = setting(2.0, "How far a future label looks.", gt=0)
    contact_threshold: float = setting(0.5, "A wrist touches from this value on.", gt=0, le=1)


class Cosmos3NanoCheckSettings(NanoSettings):
    """`xperience cosmos3-nano check`."""

    records: Path = setting(Path("results/cosmos3-nano"), "Folder that `cosmos3-nano export` wrote.")
    manifest_json: Path = setting(
        Path("results/omni_finetune/episode_manifest_128.json"), "What `prepare manifest` wrote."
    )
    data_root: Path | None = setting(
        None, "Folder of the staged episodes; without it the manifest's.", env=("TRAINING_DATA_ROOT",)
    )
    output: Path = setting(
        Path("results/omni_finetune/cosmos3_nano_compatibility.json"), "Where the compatibility record goes."
    )
    clips: int = setting(2, "Train clips that are looked at; L1 wants five or more.", ge=1)
    seed: int = setting(7, "Seed that chooses them.")
    level: Literal["L0", "L1"] = setting("L0", "L0 with the tiny model; L1 measures the weights of --base besides.")
    base: Path = setting(Path("models/Cosmos3-Nano"), "L1: folder of the model.", env=("MODEL_ROOT",))
    selection: Path | None = setting(None, "L1: the repository selection that the model was moved by: its revision.")
    golden: Path | None = setting(None, "L1: folder of NVIDIA's own samples, cosmos-framework's inputs/omni/*.json.")
    most_seconds: float | None = setting(None, "L1: seconds that a clip may take in any mode; without it any.", gt=0)
    dtype: Literal["bfloat16", "float32"] = setting("bfloat16", "L1: of the weights.")
    processes: int = setting(
        1, "Processes of this host that share the clips; PyTorchJob's PET_NPROC_PER_NODE wins.", ge=1
    )


class Cosmos3NanoEvaluateSettings(NanoSettings):
    """`xperience cosmos3-nano evaluate`."""

    records: Path = setting(Path("results/cosmos3-nano"), "Folder that `cosmos3-nano export` wrote.")
    base: Path = setting(Path("models/Cosmos3-Nano"), "Folder of the model.", env=("MODEL_ROOT",))
    output: Path = setting(Path("results/cosmos3-nano/evaluation"), "Folder of predictions and report.")
    task: Literal["reason", "future_label", "forward_dynamics", "action_proxy"] = setting(
        "action_proxy", "Physical reasoning, future label, future video or action trajectory, by the record's name."
    )
    mode: Literal["inverse_dynamics", "policy"] = setting(
        "inverse_dynamics", "Of action_proxy: actions of a whole video, or of its first frame and text."
    )
    split: Literal["val", "test"] = setting("test", "Sessions that are predicted.")
    scale_clips: int = setting(
        16, "Train clips that the scale of translation is fitted on and then frozen; 0 leaves it at 1.", ge=0
    )
    steps: int = setting(30, "Steps of a draw.", ge=1)
    draws: int = setting(3, "Draws of a future video, each of a seed of its own.", ge=1)
    answer_tokens: int = setting(96, "Most tokens of each free text of an answer.", ge=1)
    seed: int = setting(0, "Seed of the draws.")
    dtype: Literal["bfloat16", "float32"] = setting("bfloat16", "Of the weights.")


class Cosmos3NanoTrainSettings(NanoSettings):
    """`xperience cosmos3-nano train`."""

    part: Literal["generator", "reasoner"] = setting(
        "generator", "generator: the video and action tasks; reasoner: the two text tasks."
    )
    evidence: Path = setting(EVIDENCE, "Folder of artefacts: what the gates look at, and where the run's record goes.")
    data_root: Path | None = setting(
        None, "Staged episodes, for the gates; without it the artefacts alone are judged.", env=("TRAINING_DATA_ROOT",)
    )
    selection_json: Path | None = setting(None, "The selection; without it selection.json of the evidence folder.")
    records: Path = setting(Path("results/cosmos3-nano"), "Folder that `cosmos3-nano export` wrote.")
    base: Path = setting(Path("models/Cosmos3-Nano"), "Folder of the model.", env=("MODEL_ROOT",))
    output: Path = setting(
        Path("results/cosmos3-nano/post-training"), "Folder of checkpoints, adapter and metrics; a part has its own."
    )
    dtype: Literal["bfloat16", "float32"] = setting("bfloat16", "Of the frozen weights; what trains is float32.")
    lora_rank: int = setting(16, "Rank of the adapter.", ge=1)
    lora_alpha: int = setting(32, "Scale of the adapter.", ge=1)
    learning_rate: float = setting(1e-4, "Highest learning rate.", gt=0)
    head_factor: float = setting(5.0, "The action heads' learning rate, times the adapter's.", gt=0)
    warm_up_steps: int = setting(20, "Steps until it is reached; a cosine to a tenth of it follows.", ge=0)
    clip_norm: float = setting(1.0, "Longest gradient.", gt=0)
    epochs: int = setting(1, "Times that every sample is seen.", ge=1)
    samples_per_step: int = setting(
        8, "Clips or answers of an optimiser step; a multiple of every possible number of processes.", ge=1
    )
    seed: int = setting(7, "Seed of order, noise and adapter.")
    shuffle_actions: bool = setting(False, "Negative control: each clip is given the actions of another, drawn anew.")
    grid_samples: int = setting(16, "Samples of val of each mode or task that base and adapter are compared on.", ge=1)
    recompute: bool = setting(True, "Recompute activations in the backward pass: less memory, a third more work.")
    checkpoint_every_steps: int = setting(25, "Steps that a kill -9 costs at most.", ge=1)
    validate_every_steps: int = setting(100, "Steps between two looks at the fixed grid; the end has one always.", ge=1)
    metrics_port: int | None = setting(None, "Serve Prometheus metrics of rank 0 on this port; 0 picks one.")
    processes: int = setting(1, "Processes (GPUs) of this host; PyTorchJob's PET_NPROC_PER_NODE wins.", ge=1)


class Cosmos3NanoMergeSettings(NanoSettings):
    """`xperience cosmos3-nano merge`."""

    base: Path = setting(Path("models/Cosmos3-Nano"), "Folder of the model.", env=("MODEL_ROOT",))
    adapter: Path = setting(
        Path("results/cosmos3-nano/post-training/generator/adapter"),
        "Folder of the generator's adapter and heads, or of the reasoner's adapter.",
    )
    merged: Path = setting(Path("models/cosmos3-nano-merged"), "Folder of the merged model; must not be there.")
    dtype: Literal["bfloat16", "float32"] = setting("bfloat16", "That both are loaded in for the comparison.")
    compare: bool = setting(True, "Load both, one after the other, and report how far their losses are apart.")
