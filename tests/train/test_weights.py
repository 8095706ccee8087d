import json
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file

from xperience.common.errors import BadDataError, ConfigurationError
from xperience.qwen3_omni import estimate
from xperience.qwen3_omni.model import add_adapter, load_thinker, meta_thinker
from xperience.qwen3_omni.parallel import shard_layers
from xperience.qwen3_omni.weights import (
    _renaming,
    empty_thinker,
    identity,
    init_adapter,
    load_weights,
    local_rows,
    revision_of,
)

CPU = torch.device("cpu")


@pytest.fixture
def whole_model(tmp_path, base):
    """The checkpoint as the real repository has it: thinker beside talker, names with a prefix, two files, an index."""
    config = json.loads((base / "config.json").read_text())
    tensors = {f"thinker.{name}": tensor for name, tensor in load_file(base / "model.safetensors").items()}
    tensors |= {"talker.model.norm.weight": torch.ones(2), "code2wav.pre.weight": torch.ones(2)}
    names = sorted(tensors)
    files = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, held in files.items():
        save_file({name: tensors[name] for name in held}, tmp_path / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {name: file for file, held in files.items() for name in held}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    whole = {
        "architectures": ["Qwen3OmniMoeForConditionalGeneration"], "model_type": "qwen3_omni_moe",
        "enable_audio_output": False, "thinker_config": config,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(whole))
    for place in base.glob("token*"):
        (tmp_path / place.name).write_bytes(place.read_bytes())
    return tmp_path


def filled(base, dtype=torch.float32):
    thinker = empty_thinker(base, dtype)
    assert all(parameter.is_meta for parameter in thinker.parameters())
    load_weights(thinker, base, CPU)
    return thinker


@pytest.mark.parametrize("layout", ["base", "whole_model"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_are_bit_for_bit_those_that_transformers_loads(request, layout, dtype):
    folder = request.getfixturevalue(layout)
    expected, found = load_thinker(folder, dtype)[0], filled(folder, dtype)
    ours = dict(found.named_parameters()) | dict(found.named_buffers())
    theirs = dict(expected.named_parameters()) | dict(expected.named_buffers())
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert ours[name].dtype == tensor.dtype, name
        assert torch.equal(ours[name], tensor), name


def test_a_missing_weight_is_named(tmp_path, whole_model):
    place = whole_model / "model-00002-of-00002.safetensors"
    tensors = load_file(place)
    gone = next(name for name in tensors if "experts" in name)
    save_file({name: tensor for name, tensor in tensors.items() if name != gone}, place)
    with pytest.raises(BadDataError, match=r"weights are missing.*1 of 138.*layers\.\d\.mlp\.experts"):
        filled(whole_model)


def test_a_weight_of_another_model_is_named(whole_model):
    place = whole_model / "model-00001-of-00002.safetensors"
    tensors = load_file(place)
    name = next(name for name in tensors if name.endswith("self_attn.q_proj.weight") and "thinker.model" in name)
    save_file(tensors | {name: torch.zeros(8, 64)}, place)
    with pytest.raises(BadDataError, match=r"another shape.*q_proj"):
        filled(whole_model)


def test_no_folder_is_said_so(tmp_path):
    with pytest.raises(ConfigurationError, match="no base model"):
        empty_thinker(tmp_path / "nothing", torch.float32)


def test_one_byte_of_any_file_makes_another_model(whole_model):
    place = whole_model / "model-00001-of-00002.safetensors"
    (whole_model / "README.md").write_text("words")
    before = identity(whole_model)
    (whole_model / "README.md").write_text("other words")
    assert identity(whole_model) == before
    content = bytearray(place.read_bytes())
    content[-1] ^= 1
    place.write_bytes(content)
    other = identity(whole_model)
    assert other != before
    (whole_model / "config.json").write_text((whole_model / "config.json").read_text() + " ")
    assert identity(whole_model) not in (before, other)


def test_a_large_file_is_told_apart_by_samples_all_over_it(tmp_path):
    place = tmp_path / "model.safetensors"
    content = bytearray(4 << 20)
    place.write_bytes(content)
    before = identity(tmp_path)
    for spot in (0, (4 << 20) - 1):
        changed = bytearray(content)
        changed[spot] = 1
        place.write_bytes(changed)
        assert identity(tmp_path) != before
    place.write_bytes(bytes(content) + b"\0")
    assert identity(tmp_path) != before


def test_the_revision_is_what_the_download_says_and_no_other(tmp_path):
    commit = "26291f793822fb6be9555850f06dfe95f2d7e695"
    assert revision_of(tmp_path) == ""
    assert revision_of(tmp_path, "main") == "main"
    left = tmp_path / ".cache" / "huggingface" / "download" / "config.json.metadata"
    left.parent.mkdir(parents=True)
    left.write_text(f"{commit}\netag\n1.0\n")
    assert revision_of(tmp_path) == revision_of(tmp_path, commit[:10]) == commit
    with pytest.raises(ConfigurationError, match="another revision"):
        revision_of(tmp_path, "0123456")
    snapshot = tmp_path / "snapshots" / commit
    snapshot.mkdir(parents=True)
    assert revision_of(snapshot) == commit


def test_every_weight_of_the_real_checkpoint_has_its_place():
    thinker = meta_thinker()
    parameters = dict(thinker.named_parameters())
    target_of = _renaming(thinker, parameters)
    filled = dict.fromkeys(parameters, 0)
    for name, parameter in parameters.items():
        on_disk = "thinker." + name.removeprefix("model.").replace("language_model.", "model.")
        if name.endswith("experts.gate_up_proj"):
            parts = {f"{n}.{p}_proj.weight": parameter[0].numel() // 2 for n in range(128) for p in ("gate", "up")}
        elif name.endswith("experts.down_proj"):
            parts = {f"{n}.down_proj.weight": parameter[0].numel() for n in range(128)}
        else:
            parts = {"": parameter.numel()}
        for part, size in parts.items():
            key = on_disk if not part else f"{on_disk.rsplit('.', 1)[0]}.{part}"
            assert target_of(key) == name, key
            filled[name] += size
    assert filled == {name: parameter.numel() for name, parameter in parameters.items()}
    assert target_of("talker.model.layers.0.self_attn.q_proj.weight") not in parameters


@pytest.mark.parametrize("world", [8, 16])
def test_the_real_model_is_sharded_as_the_plan_reckons(world):
    from torch.testing._internal.distributed.fake_pg import FakeStore

    dist.init_process_group("fake", rank=world - 1, world_size=world, store=FakeStore())
    try:
        model = add_adapter(meta_thinker(), rank=16, alpha=32, dropout=0.05)
        shard_layers(model, SimpleNamespace(device=CPU, world=world))
        held = {name: local_rows(p)[0].numel() for name, p in model.named_parameters() if "lora_" not in name}
    finally:
        dist.destroy_process_group()
    layers = sum(count for name, count in held.items() if ".language_model.layers." in name)
    assert layers == pytest.approx(estimate.LAYER_PARAMETERS / world, rel=1e-3)
    assert sum(held.values()) - layers == estimate.FROZEN_PARAMETERS - estimate.LAYER_PARAMETERS


def test_an_adapter_begins_the_same_whatever_is_around_it(base):
    found = []
    for _ in range(2):
        torch.rand(len(found) + 1)  # nothing hangs on the state of the generator
        model = add_adapter(filled(base), rank=4, alpha=8, dropout=0.0)
        init_adapter(model, seed=7)
        found.append({name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad})
    one, other = found
    assert all(torch.equal(one[name], other[name]) for name in one)
    for name, tensor in one.items():
        bound = tensor.shape[-1] ** -0.5
        assert (tensor == 0).all() if "lora_B" in name else (tensor.abs() <= bound).all() and tensor.std() > bound / 2
