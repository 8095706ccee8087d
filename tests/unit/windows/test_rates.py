"""Base rates, the train vocabulary, and what other splits have beyond it."""

from xperience.windows.index import Window
from xperience.windows.rates import rates, unseen, vocabulary


def window(number=0, split="train", **fields):
    known = {
        "id": f"w{number}", "episode_id": "e", "session": "s", "split": split, "scale": 20, "first_frame": 0,
        "last_frame": 19, "start_ns": 0, "end_ns": 1, "action": "Pick up", "action_share": 1.0, "literal_share": 1.0,
        "subtask": "Sorting", "subtask_share": 1.0, "objects": ["cup"], "contact": "yes", "contact_feet": "unknown",
        "transition": "no", "next_action": None, "media": "media/s/e", "media_first": 0, "media_count": 12,
        "sound": "sound", "sound_first": 0, "sound_count": 1, "sound_dbfs": -20.0,
    }  # fmt: skip
    return Window(**known | fields)


def test_a_field_with_95_percent_of_one_value_is_uninformative_and_with_less_is_not():
    flagged = rates([window(n, transition="no" if n < 95 else "yes") for n in range(100)])["transition"]
    kept = rates([window(n, transition="no" if n < 94 else "yes") for n in range(100)])["transition"]
    assert (flagged.uninformative, flagged.majority_share) == (True, 0.95)
    assert (kept.uninformative, kept.majority_share) == (False, 0.94)
    assert kept.most_common == [("no", 94), ("yes", 6)]


def test_a_field_that_is_mostly_unknown_is_uninformative_too():
    found = rates([window(n) for n in range(40)])
    assert found["contact_feet"].uninformative
    assert found["contact_feet"].known == 0
    assert found["next_action"].most_common == [("unknown", 40)]


def test_objects_are_one_value_in_whatever_order():
    found = rates([window(0, objects=["cup", "hand"]), window(1, objects=["hand", "cup"]), window(2, objects=[])])
    assert found["objects"].most_common == [("cup, hand", 2), ("unknown", 1)]
    assert found["objects"].known == 2


def test_the_vocabulary_is_of_train_alone_and_unseen_labels_are_counted():
    train = [window(0, action="Pick up"), window(1, action="Pick up", next_action="Turn", objects=["cup", "tray"])]
    test = [
        window(2, "test", action="Pick up", next_action="Turn"),
        window(3, "test", action="Weld", next_action="Weld", objects=["cup", "torch"]),
        window(4, "test", action="Weld", subtask=None),
    ]
    known = vocabulary(train)
    assert known == {
        "action": {"Pick up": 2, "Turn": 0}, "subtask": {"Sorting": 2}, "objects": {"cup": 2, "tray": 1},
    }  # fmt: skip
    found = unseen(test, known)
    assert (found["action"].labels, found["action"].unseen_labels) == (2, 1)
    assert (found["action"].windows, found["action"].unseen_windows) == (3, 2)
    assert (found["subtask"].windows, found["subtask"].unseen_windows) == (2, 0)
    assert (found["objects"].unseen_labels, found["objects"].unseen_windows) == (1, 1)
    assert (found["next_action"].windows, found["next_action"].unseen_windows) == (2, 1)
