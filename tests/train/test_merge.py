import shutil
import subprocess
import sys

import pytest
import torch

from xperience.common.errors import BadDataError
from xperience.qwen3_omni import tiny
from xperience.qwen3_omni.collate import packed
from xperience.qwen3_omni.merge import difference, merge
from xperience.qwen3_omni.model import add_adapter, load_thinker

LOAD = (
    "import sys, torch; from pathlib import Path; from xperience.qwen3_omni.model import load_thinker;"
    "torch.set_num_threads(1); model, tok = load_thinker(Path(sys.argv[1]), torch.float32);"
    "batch = torch.load(sys.argv[2]); torch.save(model.eval()(**batch, use_cache=False).logits, sys.argv[3])"
)


@pytest.fixture
def trained(tmp_path, tokenizer, config):
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    tiny.tiny_thinker(config).save_pretrained(base)
    tokenizer.save_pretrained(base)
    (base / "talker.bin").write_bytes(b"untouched")
    model = add_adapter(load_thinker(base, torch.float32)[0], rank=4, alpha=8, dropout=0.0).eval()
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    model.save_pretrained(adapter)
    return base, adapter, model


def test_merged_weights_give_the_adapters_logits_in_a_fresh_process(trained, tmp_path, maker, mixed):
    base, adapter, model = trained
    batch = packed([maker.row(mixed.read(number)) for number in range(4)])
    batch.pop("labels")
    assert merge(base, adapter, tmp_path / "merged") == {"merged": 12}
    torch.save(batch, tmp_path / "batch.pt")
    subprocess.run(
        [sys.executable, "-c", LOAD, tmp_path / "merged", tmp_path / "batch.pt", tmp_path / "logits.pt"], check=True
    )
    with torch.no_grad():
        expected = model(**batch, use_cache=False).logits
    largest, agreeing = difference(torch.load(tmp_path / "logits.pt"), expected)
    assert largest < 1e-4 and agreeing == 1.0
    assert (tmp_path / "merged" / "talker.bin").read_bytes() == b"untouched"


def test_an_adapter_of_another_model_is_not_merged(trained, tmp_path):
    base, adapter, _ = trained
    other = tmp_path / "other"
    shutil.copytree(base, other)
    (other / "model.safetensors").unlink()
    with pytest.raises(BadDataError, match="have no place"):
        merge(other, adapter, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()
