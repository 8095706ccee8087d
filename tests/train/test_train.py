import itertools

import pytest
from processes import Kill, adapters, lines, losses, said, settings_of, train_in, train_whole

STEPS = 8


@pytest.fixture(scope="module")
def undisturbed(base, tmp_path_factory):
    return train_whole(2, settings_of(base, tmp_path_factory.mktemp("undisturbed")))


def samples_of_steps(settings, processes):
    """Step → the samples of each of its packs, whoever computed them."""
    told = sorted(itertools.chain(*(said(settings, rank) for rank in range(processes))), key=lambda line: line["step"])
    return {
        step: sorted(pack for line in group for pack in line["samples"])
        for step, group in itertools.groupby(told, key=lambda line: line["step"])
    }


def test_two_processes_train_one_of_them_without_video_and_sound(undisturbed):
    both = zip(said(undisturbed, 0), said(undisturbed, 1), strict=True)
    pairs = [pair for one, other in both for pair in zip(one["media"], other["media"], strict=False)]
    assert {(True, False), (True, True)} <= set(pairs)
    found = losses(undisturbed)
    assert len(found) == STEPS
    assert found[-1] < found[0] - 0.2
    assert len(lines(undisturbed, "validation")) == 2


@pytest.mark.parametrize(
    "kill",
    [
        *(pytest.param(Kill(step), id=f"after-{step}-steps") for step in (1, 3, 4, 7)),
        pytest.param(Kill(2, in_checkpoint=True), id="in-the-first-checkpoint"),
        pytest.param(Kill(4, in_checkpoint=True), id="in-a-checkpoint-behind-a-validation"),
        pytest.param(Kill(STEPS, in_checkpoint=True), id="in-the-last-checkpoint"),
    ],
)
def test_a_run_killed_at_any_step_goes_on_bit_equal_and_loses_two_steps_at_most(base, tmp_path, undisturbed, kill):
    settings = settings_of(base, tmp_path)
    assert -9 in train_in(2, settings, kill=kill)
    before = [line["step"] for line in said(settings)]
    train_whole(2, settings)
    again = [line["step"] for line in said(settings)][len(before) :]
    assert kill.step - 2 <= again[0] <= kill.step
    assert again == list(range(again[0], STEPS))
    assert losses(settings) == losses(undisturbed)
    assert adapters(settings) == adapters(undisturbed)


@pytest.mark.parametrize("steps", [0, 1, 5])
def test_a_run_stopped_on_one_host_saves_that_step_on_all_and_goes_on_bit_equal(base, tmp_path, undisturbed, steps):
    settings = train_whole(2, settings_of(base, tmp_path), stop_after=steps)
    found = [place.parent.name for place in sorted(tmp_path.glob("checkpoints/step-*/checkpoint.json"))]
    assert found[-1:] == ([f"step-{steps:07d}"] if steps else [])
    train_whole(2, settings)
    assert [line["step"] for line in said(settings)] == list(range(STEPS))
    assert losses(settings) == losses(undisturbed)
    assert adapters(settings) == adapters(undisturbed)


@pytest.mark.parametrize("processes", [1, 4])
def test_another_number_of_processes_has_the_same_samples_in_each_step_and_the_same_losses(
    base, tmp_path, undisturbed, processes
):
    settings = train_whole(processes, settings_of(base, tmp_path))
    assert samples_of_steps(settings, processes) == samples_of_steps(undisturbed, 2)
    assert losses(settings) == pytest.approx(losses(undisturbed), rel=1e-5)


def test_a_killed_run_goes_on_with_another_number_of_processes(base, tmp_path, undisturbed):
    settings = settings_of(base, tmp_path)
    train_in(2, settings, kill=Kill(5))
    train_whole(1, settings)
    assert losses(settings)[:4] == losses(undisturbed)[:4]
    assert losses(settings) == pytest.approx(losses(undisturbed), rel=1e-5)


def test_sharded_layers_have_the_losses_of_whole_ones(base, tmp_path, undisturbed):
    settings = train_whole(2, settings_of(base, tmp_path, strategy="fsdp", recompute=True))
    for line in (*said(settings, 0), *said(settings, 1)):
        assert all(".language_model.layers." in name for name in line["sharded"])
        assert not any(".language_model.layers." in name for name in line["whole"])
        assert sum("lora_" in name for name in line["sharded"]) == 24
        assert any("audio_tower" in name for name in line["whole"]) and any("visual" in name for name in line["whole"])
        assert line["local_share"] == 0.5
    assert losses(settings) == pytest.approx(losses(undisturbed), rel=1e-5)
    assert [line["loss"] for line in lines(settings, "validation")] == pytest.approx(
        [line["loss"] for line in lines(undisturbed, "validation")], rel=1e-5
    )


def test_sharded_layers_killed_go_on_bit_equal(base, tmp_path):
    whole, killed = (settings_of(base, tmp_path / name, strategy="fsdp") for name in ("whole", "killed"))
    train_whole(2, whole)
    train_in(2, killed, kill=Kill(5))
    train_whole(2, killed)
    assert (losses(killed), adapters(killed)) == (losses(whole), adapters(whole))


def test_frozen_weights_in_bfloat16_have_the_same_losses_sharded_and_whole(base, tmp_path):
    ddp, fsdp = (
        train_whole(2, settings_of(base, tmp_path / strategy, strategy=strategy, dtype="bfloat16", epochs=1))
        for strategy in ("ddp", "fsdp")
    )
    # bfloat16 has a spacing of 2^-8; sums in another order differ by 2e-4 in the fourth step.
    assert losses(fsdp) == pytest.approx(losses(ddp), rel=2**-10)


@pytest.mark.parametrize(
    ("strategy", "media"),
    [
        pytest.param("fsdp", ("v", ""), id="fsdp-video-or-none"),
        pytest.param("fsdp", ("a", ""), id="fsdp-sound-or-none"),
        pytest.param("fsdp", ("v", "a"), id="fsdp-video-or-sound"),
        pytest.param("ddp", ("v", "a"), id="ddp-video-or-sound"),
        pytest.param("ddp", ("",), id="ddp-none-at-all"),
    ],
)
def test_a_process_without_video_or_sound_does_not_hang(base, tmp_path, strategy, media):
    settings = train_whole(2, settings_of(base, tmp_path, strategy=strategy, epochs=1), media=media)
    assert len(losses(settings)) >= 3


def test_a_run_that_lost_patience_does_not_go_on_when_it_is_started_again(base, tmp_path):
    # A rate of nearly nothing: no validation is better than the first one.
    settings = settings_of(base, tmp_path, learning_rate=1e-30, validate_every_steps=1, patience=2, epochs=4)
    train_whole(1, settings)
    assert len(losses(settings)) == 3
    before, adapter = len(said(settings)), adapters(settings)
    train_whole(1, settings)
    assert len(said(settings)) == before
    assert len(losses(settings)) == 3
    assert adapters(settings) == adapter
