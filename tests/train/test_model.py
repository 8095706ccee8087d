import json
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "train"))

from packing import ways

from xperience.common.errors import ConfigurationError
from xperience.qwen3_omni import estimate, tiny
from xperience.qwen3_omni.collate import packed, padded
from xperience.qwen3_omni.model import add_adapter, check_trained, meta_thinker, report, text_layers
from xperience.training.answers import answer_loss


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


def test_the_formulas_of_a_plan_count_the_real_models_parameters():
    thinker = meta_thinker()
    layer = text_layers(thinker)[0]
    sizes = {name: parameter.numel() for name, parameter in layer.named_parameters()}
    experts = sum(size for name, size in sizes.items() if ".experts." in name)
    assert 48 * (sum(sizes.values()) - experts + experts * 8 // 128) == estimate.ACTIVE_TEXT_PARAMETERS
    towers = report(thinker).trained
    assert towers["audio_tower"].parameters + towers["visual"].parameters == pytest.approx(
        estimate.TOWER_PARAMETERS, rel=1e-3
    )


def test_a_plan_has_the_figures_that_its_formulas_give_by_hand():
    per_layer = 16 * ((2048 + 4096) + 2 * (2048 + 512) + (4096 + 2048))  # LoRA of q, k and v, o at rank 16
    assert per_layer * 48 == 13_369_344 == estimate.Assumed().trained_parameters
    active = 48 * (2048 * (4096 + 512 + 512) + 4096 * 2048 + 8 * 3 * 2048 * 768 + 128 * 2048 + 2 * 2048 + 2 * 128)
    assert active == estimate.ACTIVE_TEXT_PARAMETERS
    found = estimate.estimate(1, 8, 80, estimate.Assumed())
    assert (found.strategy, found.weights_gb, found.adapter_gb) == ("ddp", 63.4, 0.21)
    assert found.tokens_per_step == 16 * 8192 == 131_072
    assert found.steps == 325  # 32,768 × 1,300 / 131,072
    # 1.61 kept, 2.48 at work, 0.86 logits, 0.13 mask
    assert found.activations_gb == 5.1
    assert found.peak_gb == pytest.approx(63.44 + 0.21 + 5.09 + 6, abs=0.1)
    # per token 16.38 + 9.50 + 25.77 GFLOP; 8 GPUs × 989 TFLOP/s × 0.15
    assert found.step_seconds == pytest.approx(131_072 * 51.65e9 / 1.1868e15, rel=1e-3)
    assert found.hours == pytest.approx(325 * 5.704 / 3600, abs=0.01)


def test_a_plan_shards_where_a_gpu_cannot_hold_the_whole_model():
    long = estimate.Assumed(pack_tokens=24_576)
    assert estimate.estimate(1, 1, 80, long).strategy == "none"
    found = estimate.estimate(2, 8, 80, long)
    # 1.81 whole, 29.91 / 16 held, two of 48 layers gathered; 2 bytes each
    assert (found.strategy, found.weights_gb) == ("fsdp", pytest.approx(2 * (1.809 + 1.869 + 1.246), abs=0.1))


def test_the_command_prints_nine_plans_with_their_formulas():
    from typer.testing import CliRunner

    from xperience.cli.qwen3_omni import app

    told = json.loads(CliRunner().invoke(app, ["plan", "--json"]).stdout)
    assert {(e["hosts"], e["gpus_per_host"], e["gpu_memory_gb"]) for e in told["estimates"]} == {
        (hosts, gpus, memory) for hosts, gpus in ((1, 1), (1, 8), (2, 8)) for memory in (80, 96, 141)
    }
    assert any("MFU is assumed" in line for line in told["formulas"])
    table = CliRunner().invoke(app, ["plan", "--plan-windows", "1000"], env={"COLUMNS": "200"}).stdout
    assert "nothing was measured" in table and "2×8" in table


def test_packs_padded_batches_and_single_rows_have_one_loss_and_packs_compute_no_padding(maker, thinker):
    samples = tiny.ShownLabels("train", sessions=4, media=("v", "a", "va", ""), side=64, frames=4)
    model = add_adapter(thinker, rank=4, alpha=8, dropout=0.0)
    in_packs, single, padded_ = ways(samples, maker, model, pack_tokens=600, batch=4)
    assert single.loss == pytest.approx(in_packs.loss, rel=1e-5)
    assert padded_.loss == pytest.approx(in_packs.loss, rel=1e-5)
    assert in_packs.tokens == single.tokens < padded_.tokens
    assert in_packs.passes < single.passes == 16


def test_a_plan_says_where_the_model_does_not_fit():
    found = {(e.hosts, e.gpus_per_host, e.gpu_memory_gb): e for e in estimate.all_estimates(estimate.Assumed())}
    assert len(found) == 9
    assert found[1, 1, 141].strategy == "ddp"
    assert found[1, 1, 80].peak_gb > 63.4
    assert all(e.peak_gb <= e.gpu_memory_gb for e in found.values() if e.strategy != "none")
    assert found[1, 8, 141].hours == pytest.approx(2 * found[2, 8, 141].hours, rel=0.05)
