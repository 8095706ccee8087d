"""What stands under every command's help: examples, and what its exit status means."""

import typer

from xperience.common.errors import ExitCode

SELECTION = "xperience10m_128_episode_selection.json"
STORE = "--transfer-host me@store --transfer-root /data/xperience10m_128"

# By the words of a command; each is run through the real parser by a test.
EXAMPLES: dict[str, tuple[str, ...]] = {
    "select verify": (f"xperience select verify --selection-json {SELECTION}",),
    "select pin": (f"xperience select pin --selection-json {SELECTION} --output pinned.json",),
    "select pack": ("xperience select pack --selection-json pinned.json --output selection.packed",),
    "select from-hub": ("xperience select from-hub --target-episodes 128 --output selection",),
    "select from-repo": ("xperience select from-repo --repo-id org/name --include '*.json' --output model.json",),
    "preflight": (f"xperience preflight --selection-json {SELECTION} {STORE}",),
    "relay plan": (f"xperience relay plan --offline --delete-after-transfer {STORE}",),
    "relay run": (
        f"xperience relay run --selection-json {SELECTION} --relay-root /scratch/relay --delete-after-transfer {STORE}",
        "xperience relay run --selection-json model.json --store s3://bucket/models/name --delete-after-transfer",
    ),
    "relay resume": ("xperience relay resume --relay-root /scratch/relay",),
    "relay status": ("xperience relay status --relay-root /scratch/relay --json",),
    "relay verify": (f"xperience relay verify {STORE}",),
    "relay pull": ("xperience relay pull --store s3://bucket/xperience10m_128 --data-root /data/xperience10m_128",),
    "relay keygen": ("xperience relay keygen --ssh-key ~/.ssh/relay",),
    "relay trust-host": ("xperience relay trust-host --transfer-host me@store --fingerprint SHA256:…",),
    "relay check-key": ("xperience relay check-key --transfer-host me@store --ssh-key ~/.ssh/relay",),
    "prepare probe": (f"xperience prepare probe --selection-json {SELECTION}",),
    "prepare check": (
        "xperience prepare check --data-root /data/xperience10m_128",
        "xperience prepare check --data-root /data/xperience10m_128 --shard 3/8",
    ),
    "prepare discover": (f"xperience prepare discover --selection-json {SELECTION} --skip-modelscope",),
    "prepare manifest": (f"xperience prepare manifest --selection-json {SELECTION}",),
    "prepare audit": (f"xperience prepare audit --selection-json {SELECTION}",),
    "prepare review": (
        "xperience prepare review --reviewer 'A. Person' --decision accept",
        "xperience prepare review --reviewer 'A. Person' --decision accept-with-exception --reason 'no swap can help'",
    ),
    "prepare replace": (
        f"xperience prepare replace --selection-json {SELECTION}",
        f"xperience prepare replace --selection-json {SELECTION} --selection-output second.json",
    ),
    "prepare run": (f"xperience prepare run --selection-json {SELECTION} --data-root /data/xperience10m_128",),
    "windows build": ("xperience windows build --manifest-json results/omni_finetune/episode_manifest_128.json",),
    "windows verify": ("xperience windows verify --manifest-json results/omni_finetune/episode_manifest_128.json",),
    "windows stats": ("xperience windows stats --windows results/windows",),
    "qwen3-omni plan": ("xperience qwen3-omni plan --plan-windows 32768 --epochs 1",),
    "qwen3-omni train": ("xperience qwen3-omni train --windows results/windows --processes 8",),
    "qwen3-omni evaluate": (
        "xperience qwen3-omni evaluate --zero-shot",
        "xperience qwen3-omni evaluate --shard 0/8",
        "xperience qwen3-omni evaluate --merge --shards 8",
    ),
    "qwen3-omni merge": ("xperience qwen3-omni merge --adapter results/qwen3-omni/best --merged models/merged",),
    "cosmos3-nano export": ("xperience cosmos3-nano export --domain hand_pose --clips 16",),
    "cosmos3-nano check": (
        "xperience cosmos3-nano check",
        "xperience cosmos3-nano check --level L1 --base models/Cosmos3-Nano --selection nano.selection.json --clips 8",
    ),
    "cosmos3-nano train": ("xperience cosmos3-nano train --part generator --base models/Cosmos3-Nano --processes 8",),
    "cosmos3-nano evaluate": ("xperience cosmos3-nano evaluate --task action_proxy --mode inverse_dynamics",),
    "cosmos3-nano merge": ("xperience cosmos3-nano merge --merged models/cosmos3-nano-merged",),
    "gates": ("xperience gates --for train --data-root /data/xperience10m_128",),
    "report": ("xperience report --run results/qwen3-omni --cosmos results/cosmos3-nano/evaluation",),
    "doctor": ("xperience doctor --for relay",),
    "status": ("xperience status --namespace data --watch",),
    "demo": ("xperience demo", "xperience demo --train --keep demo"),
    "version": ("xperience version",),
}

CODES = "Exit status: " + " · ".join(f"{int(code)} {code.name.lower().replace('_', ' ')}" for code in ExitCode)


def add_to(app: typer.Typer, words: tuple[str, ...] = ()) -> None:
    """Put examples and exit codes under the help of every command of a tree."""
    for command in app.registered_commands:
        name = " ".join((*words, str(command.name)))
        # typer makes a line of each paragraph.
        command.epilog = "\n\n".join((*(f"$ {example}" for example in EXAMPLES[name]), CODES))
    for group in app.registered_groups:
        if group.typer_instance is not None:
            # A group without a name stands beside the commands of the one above it.
            below = (*words, group.name) if isinstance(group.name, str) and group.name else words
            add_to(group.typer_instance, below)
