"""What training writes, on a volume that is full at one place after another: a full disk, whatever a library says."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from xperience.common.errors import error_of_disk
from xperience.training import checkpoint

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from full_volume import run_on_tmpfs

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
    told = run_on_tmpfs(tmp_path, VOLUME, [sys.executable, __file__, tmp_path, save.__name__], timeout=120)
    assert told.returncode == 0, told.stderr
    *full, last = told.stdout.split()
    assert "NoSpaceError" in full and set(full) <= {"NoSpaceError", "saved"}, told.stdout
    assert last == "saved"


if __name__ == "__main__":
    main(Path(sys.argv[1]), globals()[sys.argv[2]])
