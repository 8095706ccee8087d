"""Time of `cosmos3-nano export` for 100 clips of 512 pixels, every record and official format read back.

    python benchmarks/cosmos/run.py                   # ten synthetic episodes

What is timed is the whole command, from its start to the written artefact. Beside it: what a clip becomes in each
tier, as the artefact says it, and the tokens of 16:9 as they are published. Exit code 1 above 60 s, with fewer than 100
clips, or where a number of tokens is another.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "unit" / "windows"))

from staged import manifest_of

from xperience.cosmos3_nano.record_set import read_records
from xperience.cosmos3_nano.tiers import tier_size, vision_tokens
from xperience.standin.episodes import write_episode
from xperience.standin.video import write_video

EPISODES, CLIPS, FRAMES, PIXELS = 10, 10, 400, 512
MOST_SECONDS = 60.0
# Vision tokens of (frames, tier) at 16:9: 256 is 320 x 192, 480 is 832 x 480, 720 is 1280 x 720.
PUBLISHED = {
    (17, 256): 300, (17, 480): 1_950, (61, 480): 6_240, (17, 720): 4_600, (189, 480): 18_720, (189, 720): 44_160,
}  # fmt: skip
WIDE = (1080, 1920)


def main() -> int:
    """Stage, export, read back, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pixels", type=int, default=PIXELS)
    pixels = parser.parse_args().pixels
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        placed = []
        for number in range(EPISODES):
            path = f"00000000-0000-4000-8000-{number:012d}/ep1"
            placed.append((path, "train" if number < 8 else "val" if number == 8 else "test"))
            facts = write_episode(folder / "root" / path, frames=FRAMES, seed=number + 1)
            times = [(t - facts.timestamps_ns[0]) / 1e9 for t in facts.timestamps_ns]
            write_video(folder / "root" / path / "stereo_left.mp4", times, seed=number, pixels=pixels)
        manifest = manifest_of(folder, placed)
        command = [
            sys.executable, "-m", "xperience", "cosmos3-nano", "export", "--manifest-json", str(manifest),
            "--records", str(folder / "records"), "--clips", str(CLIPS), "--text-clips", "2", "--json",
        ]  # fmt: skip
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = time.monotonic()
        done = subprocess.run(command, check=True, capture_output=True)
        wall = time.monotonic() - started
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found = json.loads(done.stdout)
        records = read_records(folder / "records", "forward_dynamics")
        print(f"{len(records)} action clips and {found['clips'] - len(records)} text clips of {pixels} pixels in "
              f"{wall:.1f} s, {after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime:.1f} s of CPU, "
              f"{after.ru_maxrss >> 10} MiB; {found['clip_bytes'] >> 10} KiB of clips")  # fmt: skip
        for size, tiers in found["tiers"].items():
            for tier, one in tiers.items():
                print(f"{size} in tier {tier}: canvas {one['canvas']}, picture {one['content']},"
                      f" vision tokens by frames {one['vision_tokens']}")  # fmt: skip
        wide = {(n, tier): vision_tokens(n, *tier_size(tier, *WIDE, frames=()).canvas) for n, tier in PUBLISHED}
        print("16:9: " + ", ".join(f"{n} frames in {tier} {tokens:,}" for (n, tier), tokens in wide.items()))
        return int(wall > MOST_SECONDS or len(records) < EPISODES * CLIPS or wide != PUBLISHED)


if __name__ == "__main__":
    sys.exit(main())
