import pytest
import torch

from xperience.common.errors import ConfigurationError
from xperience.qwen3_omni import estimate, tiny
from xperience.qwen3_omni.collate import packed, padded
from xperience.qwen3_omni.model import add_adapter, answer_loss, check_trained, meta_thinker, report, text_layers


def test_the_real_model_trains_its_text_attention_and_nothing_else():
    thinker = meta_thinker()
    bare = report(thinker)
    assert sum(group.parameters for group in bare.trained.values()) == estimate.FROZEN_PARAMETERS
    assert sum(p.numel() for layer in text_layers(thinker) for p in layer.parameters()) == estimate.LAYER_PARAMETERS
    found = report(add_adapter(thinker, rank=16, alpha=32, dropout=0.05))
    assert {name: (group.tensors, group.parameters) for name, group in found.trained.items()} == {
        "self_attn": (384, 13_369_344)
    }
    assert {"audio_tower", "visual", "experts"} <= set(found.frozen)


def test_experts_train_where_they_are_asked_for_and_want_no_dropout(config):
    found = report(add_adapter(tiny.tiny_thinker(config), rank=4, alpha=8, dropout=0.0, experts=True))
    assert {name: group.tensors for name, group in found.trained.items()} == {"experts": 12, "self_attn": 24}
    with pytest.raises(ConfigurationError, match="dropout on experts"):
        add_adapter(tiny.tiny_thinker(config), rank=4, alpha=8, dropout=0.1, experts=True)


def test_leaf_names_without_the_exclusion_are_refused(config):
    from peft import LoraConfig, get_peft_model

    names = ["q_proj", "k_proj", "v_proj", "o_proj"]
    model = get_peft_model(tiny.tiny_thinker(config), LoraConfig(r=4, target_modules=names))
    with pytest.raises(ConfigurationError, match="audio_tower"):
        check_trained(report(model), layers=3, experts=False)


def test_the_loss_of_answers_is_the_models_own_packed_padded_and_alone(maker, mixed, thinker):
    rows = [maker.row(mixed.read(number)) for number in range(4)]
    count = sum(label != -100 for row in rows for label in row.labels)
    batch = padded(rows, maker.tokenizer.pad_token_id)
    with torch.no_grad():
        own = float(thinker(**batch, use_cache=False).loss) * count
        assert float(answer_loss(thinker, batch)) == pytest.approx(own, rel=1e-5)
        assert float(answer_loss(thinker, packed(rows))) == pytest.approx(own, rel=1e-5)
        assert sum(float(answer_loss(thinker, packed([row]))) for row in rows) == pytest.approx(own, rel=1e-5)


def test_a_plan_says_where_the_model_does_not_fit():
    found = {(e.hosts, e.gpus_per_host, e.gpu_memory_gb): e for e in estimate.all_estimates(estimate.Assumed())}
    assert len(found) == 9
    assert found[1, 1, 141].strategy == "ddp"
    assert found[1, 1, 80].peak_gb > 63.4
    assert all(e.peak_gb <= e.gpu_memory_gb for e in found.values() if e.strategy != "none")
    assert found[1, 8, 141].hours == pytest.approx(2 * found[2, 8, 141].hours, rel=0.05)
