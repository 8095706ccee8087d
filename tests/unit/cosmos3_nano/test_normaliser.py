import numpy as np
import pytest
from tracks_parts import track

from xperience.common.errors import BadDataError, RefusedError
from xperience.cosmos3_nano.actions import BLOCKS, actions_of
from xperience.cosmos3_nano.normaliser import ActionStatistics, fit


def parts(count=12, split="train", **more):
    return [(split, f"session-{n}", actions_of(track(seed=n, **more), "hand_pose")) for n in range(count)]


def test_values_of_train_lie_between_minus_one_and_one_and_little_is_clamped():
    found = parts()
    statistics = fit(found)
    shares = []
    for _, _, actions in found:
        values, share = statistics.normalised(actions)
        assert np.abs(values).max() <= 1
        shares.append(share)
    assert 0 < np.mean(shares) < 0.05  # 1 % above and 1 % below


def test_model_space_leads_back_to_raw_units():
    statistics, (_, _, actions) = fit(parts()), parts(1)[0]
    assert np.abs(statistics.raw(statistics.unclamped(actions.values)) - actions.values).max() < 1e-12


def test_statistics_of_val_or_test_are_refused():
    with pytest.raises(RefusedError, match="train alone"):
        fit([*parts(2), *parts(1, split="test")])


def test_a_far_value_is_clamped_and_counted():
    statistics, (_, _, actions) = fit(parts()), parts(1)[0]
    _, usual = statistics.normalised(actions)
    actions.values[:, 0] += 5.0
    values, share = statistics.normalised(actions)
    assert (values[:, 0] == 1).all() and share > usual


def test_what_is_not_seen_is_zero_and_leaves_no_trace_in_the_statistics():
    hidden = [("left", row) for row in range(17)]
    statistics = fit(parts(3, unseen=hidden))
    assert all(low == high == 0 for low, high in zip(statistics.low[33:], statistics.high[33:], strict=True))
    whole = fit(parts(3))
    values, _ = whole.normalised(parts(1, unseen=hidden)[0][2])
    assert (values[:, BLOCKS["left_wrist"]] == 0).all()


def test_a_column_that_does_not_move_is_not_stretched_to_noise():
    statistics, (_, _, actions) = fit(parts(3, unseen=[("left", row) for row in range(17)])), parts(1)[0]
    assert np.isfinite(statistics.unclamped(actions.values)).all()


def test_statistics_are_known_by_their_hash_and_read_back(tmp_path):
    statistics = fit(parts(3))
    digest = statistics.write(tmp_path / "statistics.json")
    assert ActionStatistics.read(tmp_path / "statistics.json").content_sha256 == digest
    assert fit(parts(4)).known_by != digest == fit(parts(3)).known_by
    text = (tmp_path / "statistics.json").read_text().replace('"steps": 48', '"steps": 49')
    (tmp_path / "statistics.json").write_text(text)
    with pytest.raises(BadDataError, match="content_sha256"):
        ActionStatistics.read(tmp_path / "statistics.json")


def test_statistics_of_another_domain_are_refused():
    with pytest.raises(BadDataError, match="another domain"):
        fit(parts(2)).normalised(actions_of(track(), "camera_pose"))
