"""What workers ask for, told apart only so far that a pass stays short. Pure.

Each two requests are compared on each node, and each is a stack of its own in the calendar. So where there are too many
different ones, similar ones are counted as the largest of them, resource by resource: a job may then see fewer devices
than it could have, and never more.

None shall spoil the count of another. So only requests on the same nodes count together. There each class has its part,
and namespaces that ask for many different amounts come first: theirs are merged with each other alone, down to two for
each class. Only if that isn't enough are those of several namespaces merged. They are then the most similar ones, and
requests that are far from all others, which one namespace can have two of, take none of the others with them.
"""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from dueby_operator.model.job_snapshot import JobKey

# So many requests are told apart on one node, each with its device class: 24 on 100 nodes take 0.1 s.
MAX_REQUESTS = 24
# So many of each class always are, however many classes there are.
MIN_OF_CLASS = 4
# So many of a namespace and class are, tried in this order, where there are more in all.
_OF_NAMESPACE = (8, 7, 6, 5, 4, 3, 2)
# Where requests are merged, those are counted as one that differ by no more than so many doublings, which is 19 %: of
# rivals each counts as the most that it can take.
_SIMILAR = 0.25
# In how many doublings an amount may lie below the largest one that is asked for. Smaller ones are as good as nothing.
_DOUBLINGS = 20
Wish = tuple[JobKey, str]
"""A job and a device class."""
_Asked = Mapping[str, float]
_Amounts = tuple[tuple[str, float], ...]
"""What is asked for, by resource."""
_Places = tuple[float, ...]


def merge_requests(wishes: Mapping[Wish, _Asked], together: Iterable[Collection[str]] = ()) -> Mapping[Wish, _Asked]:
    """Return what each job's worker on each class is counted as: what it asks for, or more where there are too many.

    `together` are the classes in groups that are on the same nodes, each in one at most. The others are one more group.
    """
    group_of = {name: number for number, group in enumerate(together) for name in group}
    by_group: dict[int | None, dict[str, dict[Wish, _Amounts]]] = defaultdict(lambda: defaultdict(dict))
    for wish, asked in wishes.items():
        by_group[group_of.get(wish[1])][wish[1]][wish] = tuple(asked.items())
    merged = {
        wish: dict(amounts)
        for classes in by_group.values()
        for of_class in _merge_group(list(classes.values()))
        for wish, amounts in of_class.items()
    }
    return {wish: merged[wish] for wish in wishes}


def _merge_group(classes: list[dict[Wish, _Amounts]]) -> Iterable[Mapping[Wish, _Amounts]]:
    """Return the requests of each class on the same nodes, at most MAX_REQUESTS of them, or MIN_OF_CLASS of each."""
    counts = [len(set(wishes.values())) for wishes in classes]
    parts = range(MAX_REQUESTS, MIN_OF_CLASS, -1)
    most = next((part for part in parts if sum(min(count, part) for count in counts) <= MAX_REQUESTS), MIN_OF_CLASS)
    return [_merge_class(wishes, most) for wishes in classes]


def _merge_class(wishes: Mapping[Wish, _Amounts], most: int) -> Mapping[Wish, _Amounts]:
    """Return the requests of one class, at most so many: those of each namespace merged, and at last those of all."""
    if len(set(wishes.values())) <= most:
        return wishes
    by_namespace: dict[str, dict[Wish, _Amounts]] = defaultdict(dict)
    for wish, asked in wishes.items():
        by_namespace[wish[0][0]][wish] = asked
    found: dict[Wish, _Amounts] = {}
    for of_namespace in _OF_NAMESPACE:
        found = {
            wish: amounts
            for own in by_namespace.values()
            for wish, amounts in _at_most(own, min(of_namespace, most)).items()
        }
        if len(set(found.values())) <= most:
            return found
    return _at_most(found, most)


def _at_most(wishes: Mapping[Wish, _Amounts], most: int) -> Mapping[Wish, _Amounts]:
    """Return these requests if they are no more than so many; otherwise merged ones."""
    requests = set(wishes.values())
    if len(requests) <= most:
        return wishes
    merged = _merge(requests, most)
    return {wish: merged[asked] for wish, asked in wishes.items()}


def _merge(requests: Collection[_Amounts], most: int) -> Mapping[_Amounts, _Amounts]:
    """Return what each is counted as, at most so many: the largest, by resource, of those that are similar to it.

    The group in which requests differ most is halved, until there are enough groups, or they hardly differ.
    """
    largest = _largest_of(requests)
    groups = [_Group([(_places(asked, largest), asked) for asked in sorted(requests)])]
    while len(groups) < most:
        widest = max(groups, key=lambda group: group.width)
        if widest.width <= _SIMILAR:
            break
        groups.remove(widest)
        groups += widest.halves()
    return {asked: amounts for group in groups for asked, amounts in group.merged().items()}


class _Group:
    """Requests that are counted as one."""

    def __init__(self, requests: Sequence[tuple[_Places, _Amounts]]) -> None:
        self._requests = requests
        spans = [(min(places), max(places)) for places in zip(*(places for places, _ in requests), strict=True)]
        widths = [upper - lower for lower, upper in spans]
        self.width = max(widths)
        """By how many doublings its requests differ in the resource in which they differ most."""
        self._widest = widths.index(self.width)
        self._lower, self._upper = spans[self._widest]

    def halves(self) -> list["_Group"]:
        """Return its requests in two groups: those that ask for less and for more of what it is wide in."""
        halves: tuple[list[tuple[_Places, _Amounts]], ...] = [], []
        for request in self._requests:
            place = request[0][self._widest]
            halves[place - self._lower >= self._upper - place].append(request)
        return [_Group(half) for half in halves]

    def merged(self) -> dict[_Amounts, _Amounts]:
        """Return what each of its requests is counted as."""
        requests = [asked for _, asked in self._requests]
        return dict.fromkeys(requests, _largest_of(requests))


def _places(asked: _Amounts, largest: _Amounts) -> _Places:
    """Return by resource how many doublings the request is above what is as good as nothing."""
    shares = (amount / most if most else 0.0 for (_, amount), (_, most) in zip(asked, largest, strict=True))
    return tuple(max(0.0, math.log2(share) + _DOUBLINGS) if share > 0 else 0.0 for share in shares)


def _largest_of(requests: Collection[_Amounts]) -> _Amounts:
    return tuple(max(amounts) for amounts in zip(*requests, strict=True))
