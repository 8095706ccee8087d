"""Contact: stated joints, a stated threshold, hands apart from feet, and unknown where nobody knows."""

import numpy as np
import pytest

from xperience.windows.contact import FEET, HANDS, contact_of, touching


def contacts(frames=20, **joints):
    """(frames, 21) of zeros; a named joint has a value in its first `n` frames."""
    values = np.zeros((frames, 21), np.float32)
    for name, (value, count) in joints.items():
        values[:count, (HANDS | FEET)[name]] = value
    return values


@pytest.mark.parametrize(
    ("values", "hands", "feet"),
    [
        pytest.param(contacts(), "no", "no", id="nothing touches"),
        pytest.param(contacts() + 0.1, "no", "no", id="above zero is not contact"),
        pytest.param(contacts(left_wrist=(0.5, 20)), "yes", "no", id="the threshold counts"),
        pytest.param(contacts(left_wrist=(0.49, 20)), "no", "no", id="below it does not"),
        pytest.param(contacts(right_wrist=(0.9, 10)), "yes", "no", id="half of the frames"),
        pytest.param(contacts(right_wrist=(0.9, 9)), "no", "no", id="less than half"),
        pytest.param(contacts(left_foot=(1, 20), right_ankle=(1, 20)), "no", "yes", id="feet are not hands"),
        pytest.param(contacts() * np.nan, "unknown", "unknown", id="no value at all"),
    ],
)
def test_contact_of_hands_and_feet(values, hands, feet):
    for joints, expected in ((HANDS, hands), (FEET, feet)):
        assert contact_of(touching(values, joints, 0.5), 0, 20) == expected


def test_without_full_body_mocap_contact_is_unknown():
    assert contact_of(None, 0, 20) == "unknown"


def test_contact_is_unknown_where_less_than_half_of_the_frames_are_known():
    values = contacts(left_wrist=(1, 20))
    values[:11] = np.nan
    assert contact_of(touching(values, HANDS, 0.5), 0, 20) == "unknown"
    assert contact_of(touching(values, HANDS, 0.5), 5, 20) == "yes"


def test_a_joint_without_a_value_does_not_hide_the_other():
    values = contacts(left_wrist=(1, 20))
    values[:, HANDS["right_wrist"]] = np.nan
    assert contact_of(touching(values, HANDS, 0.5), 0, 20) == "yes"
