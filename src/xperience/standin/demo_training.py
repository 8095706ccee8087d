"""The demo's training: windows, a tiny model of the true architecture on the CPU, its held-out evaluation; Cosmos."""

from pathlib import Path

from xperience.common.errors import ExitCode
from xperience.standin.demo_commands import EVIDENCE, Demo

BASE, NANO = "models/tiny", "models/tiny-nano"
COSMOS_EVALUATION = "cosmos3-nano-evaluation"


def train_and_evaluate(demo: Demo, root: Path) -> None:
    """Windows of what passed its gates, an adapter trained on them, and what it is worth on sessions it never met."""
    from xperience.qwen3_omni.tiny import write_tiny_base

    demo.say("Windows of labelled frames and sound: each video is decoded once.")
    demo.export(WINDOWS="windows", BASE=BASE, DTYPE="float32", EVIDENCE=EVIDENCE)
    demo.call(
        "windows", "build", "--manifest-json", f"{EVIDENCE}/episode_manifest_128.json", "--data-root", str(root),
        "--scales", "20/5", "--cameras", "fisheye_cam0", "--frame-pixels", "64",
    )  # fmt: skip
    demo.call("windows", "stats")
    demo.say("A tiny Qwen3-Omni with random weights: code and way are the real ones, quality is not.")
    write_tiny_base(demo.folder / BASE)
    demo.call(
        "qwen3-omni", "train", "--output", "qwen3-omni", "--pack-tokens", "1024", "--packs-per-step", "2",
        "--learning-rate", "0.003", "--warm-up-steps", "5", "--epochs", "4", "--loader-workers", "0",
    )  # fmt: skip
    demo.say("The sealed test sessions: answered under a grammar, each number beside its baselines.")
    for zero_shot in (["--zero-shot"], []):
        demo.call("qwen3-omni", "evaluate", "--output", "qwen3-omni", "--batch", "8", *zero_shot)


def cosmos(demo: Demo, root: Path) -> None:
    """Records of the four tasks, compatibility, post-training behind its gates, and held-out actions."""
    from xperience.cosmos3_nano.tiny import write_tiny_base

    manifest = f"{EVIDENCE}/episode_manifest_128.json"
    demo.say("Cosmos3-Nano begins with its records: clips of exact frames, actions in NVIDIA's own convention.")
    demo.export(RECORDS="cosmos3-nano", BASE=NANO)
    demo.call(
        "cosmos3-nano", "export", "--manifest-json", manifest, "--data-root", str(root), "--clips", "2",
        "--text-clips", "1",
    )  # fmt: skip
    demo.say(
        "Post-training is shut until data and model are shown to fit: 21 rows, those of L0 on a tiny random model."
    )
    write_tiny_base(demo.folder / NANO)
    train = (
        "cosmos3-nano", "train", "--data-root", str(root), "--output", "cosmos3-nano-trained",
        "--samples-per-step", "4", "--grid-samples", "2", "--learning-rate", "0.003", "--warm-up-steps", "2",
        "--epochs", "1",
    )  # fmt: skip
    demo.call(*train, expect=ExitCode.REFUSED)
    demo.call(
        "cosmos3-nano", "check", "--manifest-json", manifest, "--data-root", str(root), "--output",
        f"{EVIDENCE}/cosmos3_nano_compatibility.json",
    )  # fmt: skip
    demo.call(*train)
    demo.say("The sealed test sessions again: predicted actions beside trivial ones.")
    demo.call(
        "cosmos3-nano", "evaluate", "--mode", "inverse_dynamics", "--steps", "2", "--scale-clips", "2", "--output",
        COSMOS_EVALUATION,
    )  # fmt: skip
