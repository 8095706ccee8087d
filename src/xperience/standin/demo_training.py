"""The demo's training: windows, a tiny model of the true architecture on the CPU, its held-out evaluation."""

from pathlib import Path

from xperience.standin.demo_commands import EVIDENCE, Demo

BASE = "models/tiny"


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
