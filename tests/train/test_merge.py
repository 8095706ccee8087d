import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from xperience.common.errors import BadDataError
from xperience.common.transfer import MANIFEST_NAME
from xperience.qwen3_omni import tiny
from xperience.qwen3_omni.collate import packed
from xperience.qwen3_omni.merge import REPORT, Merge, merge
from xperience.qwen3_omni.merge_check import compare, difference
from xperience.qwen3_omni.model import add_adapter, load_thinker

LOAD = (
    "import sys, torch; from pathlib import Path; from xperience.qwen3_omni.model import load_thinker;"
    "torch.set_num_threads(1); model, tok = load_thinker(Path(sys.argv[1]), torch.float32);"
    "batch = torch.load(sys.argv[2]); torch.save(model.eval()(**batch, use_cache=False).logits, sys.argv[3])"
)


def trained(folder, tokenizer, config, *, experts=False, dtype=torch.float32):
    """A base in two files of weights, one of them of the talker alone; and its adapter."""
    base, adapter = folder / "base", folder / "adapter"
    tiny.tiny_thinker(config).to(dtype).save_pretrained(base)
    tokenizer.save_pretrained(base)
    (base / "spk_dict.pt").write_bytes(b"untouched")
    drawn = torch.Generator().manual_seed(1)
    others = {
        "talker.model.layers.0.self_attn.q_proj.weight": torch.randn(8, 8, generator=drawn, dtype=torch.float32),
        "talker.model.layers.0.mlp.experts.0.down_proj.weight": torch.randn(8, 8, generator=drawn),
        "code2wav.decoder.0.weight": torch.randn(4, generator=drawn),
    }
    save_file(others, base / "talker.safetensors", metadata={"format": "pt"})
    model = add_adapter(load_thinker(base, dtype)[0], rank=4, alpha=8, dropout=0.0, experts=experts).eval()
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    model.save_pretrained(adapter)
    return base, adapter, model


@pytest.mark.parametrize(
    ("experts", "merged"), [pytest.param(False, 12, id="attention"), pytest.param(True, 12 + 3 * 4 * 3, id="experts")]
)
def test_merged_weights_give_the_adapters_logits_in_a_fresh_process(
    tmp_path, tokenizer, config, maker, mixed, experts, merged
):
    base, adapter, model = trained(tmp_path, tokenizer, config, experts=experts)
    batch = packed([maker.row(mixed.read(number)) for number in range(4)])
    batch.pop("labels")
    report = merge(base, adapter, tmp_path / "merged")
    assert (report.merged_weights, report.dtype) == (merged, "float32")
    torch.save(batch, tmp_path / "batch.pt")
    subprocess.run(
        [sys.executable, "-c", LOAD, tmp_path / "merged", tmp_path / "batch.pt", tmp_path / "logits.pt"], check=True
    )
    with torch.no_grad():
        expected = model(**batch, use_cache=False).logits
        bare = load_thinker(base, torch.float32)[0].eval()(**batch, use_cache=False).logits
    largest, agreeing = difference(torch.load(tmp_path / "logits.pt"), expected)
    assert largest < 1e-4 and agreeing == 1.0
    assert difference(bare, expected)[0] > 0.1  # the adapter does something


def test_what_the_adapter_does_not_touch_is_copied_byte_for_byte(tmp_path, tokenizer, config):
    base, adapter, _ = trained(tmp_path, tokenizer, config)
    (base / ".cache" / "huggingface").mkdir(parents=True)
    origin = [base / MANIFEST_NAME, base / ".cache" / "huggingface" / "config.json.metadata"]
    for place in origin:
        place.write_text("{}")
    report = merge(base, adapter, tmp_path / "merged")
    assert not {str(place.relative_to(base)) for place in origin} & set(
        report.copied_files
    )  # it is no revision of the hub
    assert report.rewritten_files == ["model.safetensors"]
    assert {"talker.safetensors", "spk_dict.pt", "config.json", "tokenizer.json"} <= set(report.copied_files)
    for name in report.copied_files:
        assert (tmp_path / "merged" / name).read_bytes() == (base / name).read_bytes()
    before, after = load_file(base / "model.safetensors"), load_file(tmp_path / "merged" / "model.safetensors")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert len(changed) == 12 and all(".self_attn." in name and "audio_tower" not in name for name in changed)


def test_the_command_reports_the_difference_in_bfloat16_and_refuses_a_folder_that_is_there(tmp_path, tokenizer, config):
    base, adapter, _ = trained(tmp_path, tokenizer, config, dtype=torch.bfloat16)
    arguments = [sys.executable, "-m", "xperience", "qwen3-omni", "merge", "--base", base, "--adapter", adapter,
                 "--merged", tmp_path / "merged"]  # fmt: skip
    done = subprocess.run(arguments, env=os.environ | {"COLUMNS": "200"}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "12 weights merged" in done.stdout and "the likeliest token is the same" in done.stdout
    report = Merge.read(tmp_path / "merged" / REPORT)
    assert report.dtype == "bfloat16" and report.positions > 100
    assert 0 < report.largest_logit_difference < 2
    assert report.argmax_agreement > 0.9
    again = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert again.returncode == 64 and "the folder is there" in again.stderr


def test_an_adapter_of_another_model_is_not_merged(tmp_path, tokenizer, config):
    base, adapter, _ = trained(tmp_path, tokenizer, config)
    (base / "model.safetensors").unlink()
    with pytest.raises(BadDataError, match="have no place"):
        merge(base, adapter, tmp_path / "merged")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter", "base"]


def test_an_adapter_of_another_kind_is_not_merged(tmp_path, tokenizer, config):
    base, adapter, _ = trained(tmp_path, tokenizer, config)
    place = adapter / "adapter_config.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | {"use_rslora": True}))
    with pytest.raises(BadDataError, match="use_rslora"):
        merge(base, adapter, tmp_path / "merged")


def test_a_merged_model_that_cannot_be_loaded_does_not_get_the_name(tmp_path, tokenizer, config):
    base, adapter, _ = trained(tmp_path, tokenizer, config)

    def break_it(merged):
        (merged / "config.json").write_text("{}")
        return compare(base, adapter, merged)

    with pytest.raises(BadDataError, match="cannot be loaded"):
        merge(base, adapter, tmp_path / "merged", compare=break_it)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter", "base"]
