"""What training writes, on a volume that is full at one place after another: a full disk, whatever a library says."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from xperience.common.errors import error_of_disk
from xperience.training import checkpoint

VOLUME = 1 << 20
PAGE = 4096
ALONE = SimpleNamespace(rank=0, first=lambda mine: mine, barrier=lambda: None)


def save_checkpoint(folder):
    model = torch.nn.ModuleList(torch.nn.Linear(3000, 1) for _ in range(20))
    checkpoint.save(folder, model, torch.optim.SGD(model.parameters()), group=ALONE, progress={"step": 1})


def save_weights(folder):
    folder.mkdir(exist_ok=True)
    save_file({"weight": torch.zeros(30_000)}, folder / "adapter.safetensors")


def main(volume, save):
    """Print what each room on the volume led to."""
    for pages in range(32):
        (volume / "filler").write_bytes(bytes(VOLUME - pages * PAGE))
        try:
            save(volume / "output")
            print("saved")
        except Exception as error:
            print(type(error_of_disk(error)).__name__)
        (volume / "filler").unlink()
    save(volume / "output")
    print("saved")


@pytest.mark.parametrize("save", [save_checkpoint, save_weights])
def test_a_full_disk_is_named_wherever_the_room_ends(tmp_path, save):
    if os.getuid():
        pytest.skip("to mount a volume that can be full takes root")
    script = f'mount -t tmpfs -o size={VOLUME} tmpfs "$0" && exec "$@"'
    code = f"import sys, pathlib, test_full_volume as t; t.main(pathlib.Path(sys.argv[1]), t.{save.__name__})"
    program = [sys.executable, "-c", code, tmp_path]
    told = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-c", script, tmp_path, *program],
        capture_output=True, text=True, check=True, timeout=120, cwd=Path(__file__).parent,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    *full, last = told.stdout.split()
    assert "NoSpaceError" in full and set(full) <= {"NoSpaceError", "saved"}, told.stdout
    assert last == "saved"
