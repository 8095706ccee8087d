"""Base rates, vocabulary and unseen labels: what a number has to be compared with before it means anything."""

from collections import Counter
from collections.abc import Iterable, Sequence

from xperience.common.evidence import Part
from xperience.windows.index import Window

# From this share of one value on, always answering it looks like knowing the field.
UNINFORMATIVE_SHARE = 0.95
FIELDS = ("action", "subtask", "objects", "contact", "contact_feet", "transition", "next_action")
OPEN_FIELDS = ("action", "subtask", "objects", "next_action")
MOST_VALUES = 5
NOT_KNOWN = "unknown"


class FieldRates(Part):
    """One field in one split. A value of `objects` is the whole list; `known` counts windows that have one.

    `most_common` are the most frequent values with their windows; `uninformative`: one value has ≥ 95 %.
    """

    windows: int
    known: int
    distinct: int
    most_common: list[tuple[str, int]]
    majority_share: float
    uninformative: bool


class UnseenLabels(Part):
    """One field of one split against the vocabulary: labels and windows of which train knows nothing."""

    labels: int
    unseen_labels: int
    windows: int
    unseen_windows: int


def labels_of(window: Window, field: str) -> list[str]:
    """The labels of a field; none where it is not known."""
    if field == "objects":
        return window.objects
    value = getattr(window, field)
    return [] if value is None or value == NOT_KNOWN else [value]


def rates(windows: Sequence[Window]) -> dict[str, FieldRates]:
    """Every field of some windows."""
    return {field: _rates(windows, field) for field in FIELDS} if windows else {}


def _rates(windows: Sequence[Window], field: str) -> FieldRates:
    values = Counter(", ".join(sorted(labels_of(window, field))) or NOT_KNOWN for window in windows)
    ordered = sorted(values.items(), key=lambda item: (-item[1], item[0]))
    share = ordered[0][1] / len(windows)
    return FieldRates(
        windows=len(windows), known=len(windows) - values[NOT_KNOWN], distinct=len(values),
        most_common=ordered[:MOST_VALUES], majority_share=round(share, 6), uninformative=share >= UNINFORMATIVE_SHARE,
    )  # fmt: skip


def vocabulary(train: Iterable[Window]) -> dict[str, dict[str, int]]:
    """Labels of the train windows by field, sorted, with the number of windows that have them."""
    counted: dict[str, Counter[str]] = {field: Counter() for field in OPEN_FIELDS}
    for window in train:
        for field, counter in counted.items():
            counter.update(labels_of(window, field))
    # What comes next in train is an action like any other.
    counted["action"].update(dict.fromkeys(set(counted["next_action"]) - set(counted["action"]), 0))
    del counted["next_action"]
    return {field: dict(sorted(counter.items())) for field, counter in counted.items()}


def unseen(windows: Sequence[Window], known: dict[str, dict[str, int]]) -> dict[str, UnseenLabels]:
    """What the vocabulary lacks; a window of several objects is unseen where one of them is."""
    found = {}
    for field in OPEN_FIELDS:
        vocabulary_of_field = known["action" if field == "next_action" else field]
        with_labels = [labels for window in windows if (labels := labels_of(window, field))]
        distinct = {label for listed in with_labels for label in listed}
        found[field] = UnseenLabels(
            labels=len(distinct), unseen_labels=len(distinct - set(vocabulary_of_field)), windows=len(with_labels),
            unseen_windows=sum(not set(listed) <= set(vocabulary_of_field) for listed in with_labels),
        )  # fmt: skip
    return found
