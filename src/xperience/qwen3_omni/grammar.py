"""The answers that there may be, as a walk over tokens: what is decoded under it is a valid answer by construction."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from xperience.qwen3_omni.prompt import CLOSED, FIELDS, MOST_OBJECTS, UNKNOWN, quoted


@dataclass
class Node:
    """A place within some texts; `leaves` are the numbers of texts that pass it, `ends` the one that ends here."""

    next: dict[int, "Node"] = field(default_factory=dict)
    leaves: set[int] = field(default_factory=set)
    ends: int | None = None


@dataclass(frozen=True)
class State:
    """Where a walk is: slot, place in its texts, objects that were named; `slot` behind the last one is the end."""

    slot: int
    node: Node
    used: frozenset[int] = frozenset()
    naming: bool = False


class AnswerGrammar:
    """Action, subtask and next action from a vocabulary (or unknown), at most eight objects of it, none twice."""

    def __init__(self, ids: Callable[[str], Sequence[int]], vocabulary: Mapping[str, Sequence[str]], end: int) -> None:
        self.ids, self.end = ids, end
        self.values = closed_sets(vocabulary)
        self.objects = sorted(vocabulary["objects"])
        self._slots: list[Node] = []
        for number, name in enumerate(FIELDS):
            opening = "{" if number == 0 else ","
            if name == "objects":
                self._slots.append(self._trie([f'{opening}"objects":[']))
                self._list_slot = len(self._slots)
                self._slots.append(self._trie(["]", '"'] if self.objects else ["]"]))
            else:
                self._slots.append(self._trie([f'{opening}"{name}":"']))
                self._slots.append(self._trie([quoted(value) for value in self.values[name]]))
        self._slots.append(self._trie(["}"]))
        self._names = self._trie([quoted(value) for value in self.objects])
        self._more, self._close = self._trie(["]", ',"']), self._trie(["]"])

    def _trie(self, texts: Sequence[str]) -> Node:
        root = Node()
        for number, text in enumerate(texts):
            node = root
            node.leaves.add(number)
            for token in self.ids(text):
                node = node.next.setdefault(token, Node())
                node.leaves.add(number)
            node.ends = number
        return root

    def start(self) -> State:
        """Before the first token."""
        return State(0, self._slots[0])

    def done(self, state: State) -> bool:
        """Whether nothing but the end may come."""
        return state.slot == len(self._slots)

    def allowed(self, state: State) -> list[int]:
        """Tokens that may come next; never none."""
        if self.done(state):
            return [self.end]
        if state.naming:
            return [token for token, node in state.node.next.items() if node.leaves - state.used]
        return list(state.node.next)

    def advance(self, state: State, token: int) -> State:
        """The state behind one allowed token."""
        if self.done(state):
            return state
        node = state.node.next[token]
        if node.ends is None:
            return replace(state, node=node)
        if state.slot == self._list_slot and state.naming:
            used = state.used | {node.ends}
            whole = len(used) in (MOST_OBJECTS, len(self.objects))
            return State(state.slot, self._close if whole else self._more, used)
        if state.slot == self._list_slot and node.ends == 1:
            return State(state.slot, self._names, state.used, naming=True)
        following = state.slot + 1
        return State(following, self._slots[following] if following < len(self._slots) else Node())

    @property
    def longest(self) -> int:
        """Tokens of the longest answer, its end included: what a generation needs, and no runaway is longer."""
        fixed = sum(_depth(root) for root in self._slots) + 1
        names = sorted((len(self.ids(quoted(value))) for value in self.objects), reverse=True)[:MOST_OBJECTS]
        if not names:
            return fixed
        between = _depth(self._trie([',"'])) * (len(names) - 1)
        return fixed + sum(names) + between + _depth(self._close)


def closed_sets(vocabulary: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """What each field with one value may say, from a vocabulary of labels."""
    return {
        "action": sorted(vocabulary["action"]), "subtask": sorted({*vocabulary["subtask"], UNKNOWN}),
        "next_action": sorted({*vocabulary["action"], UNKNOWN}),
        **{name: list(values) for name, values in CLOSED.items()},
    }  # fmt: skip


def is_valid(answer: object, values: Mapping[str, Collection[str]], objects: Collection[str]) -> bool:
    """Whether an answer is one that there may be: its keys in their order, every value of its closed set."""
    if not isinstance(answer, dict) or tuple(answer) != FIELDS or not isinstance(answer["objects"], list):
        return False
    names = answer["objects"]
    return (
        all(answer[name] in known for name, known in values.items())
        and len(names) <= MOST_OBJECTS and len(set(names)) == len(names) and all(name in objects for name in names)
    )  # fmt: skip


def _depth(node: Node) -> int:
    return 1 + max(map(_depth, node.next.values())) if node.next else 0
