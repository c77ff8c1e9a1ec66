"""What workers ask for, told apart only so far that a pass stays short. Pure.

Each two requests are compared on each node, and each is a stack of its own in the calendar. So where there are too many
different ones, similar ones are counted as the largest of them, resource by resource: a job may then see fewer devices
than it could have, and never more. Namespaces with many different requests come first, so that none spoils the count
of another.
"""

import math
from collections import defaultdict
from collections.abc import Mapping

from dueby_operator.model.job_snapshot import JobKey

# So many requests are told apart, each with its device class: 24 on 100 nodes take 0.1 s.
MAX_REQUESTS = 24
# So many of a namespace are, tried in this order, where there are more in all.
_OF_NAMESPACE = (8, 4, 2, 1)
# Steps for each doubling of a resource between which requests are counted as one; with 0 steps there is one request.
_STEPS = (4.0, 2.0, 1.0, 0.5, 0.25, 0.0)
_Wish = tuple[JobKey, str]
"""A job and a device class."""
_Asked = Mapping[str, float]


def merge_requests(wishes: Mapping[_Wish, _Asked]) -> Mapping[_Wish, _Asked]:
    """Return what each job's worker on each class is counted as: what it asks for, or more where there are too many."""
    if _count(wishes) <= MAX_REQUESTS:
        return wishes
    by_namespace: dict[str, dict[_Wish, _Asked]] = defaultdict(dict)
    for wish, asked in wishes.items():
        by_namespace[wish[0][0]][wish] = asked
    for most in _OF_NAMESPACE:
        found = {wish: asked for own in by_namespace.values() for wish, asked in _at_most(own, most).items()}
        if _count(found) <= MAX_REQUESTS:
            return found
    return _at_most(wishes, MAX_REQUESTS)


def _at_most(wishes: Mapping[_Wish, _Asked], most: int) -> Mapping[_Wish, _Asked]:
    """Return them with at most so many different requests, or with one for each device class."""
    if _count(wishes) <= most:
        return wishes
    found = wishes
    for steps in _STEPS:
        groups: dict[object, list[_Wish]] = defaultdict(list)
        for wish, asked in wishes.items():
            groups[wish[1], tuple(_step(value, steps) for value in asked.values())].append(wish)
        found = {wish: asked for group in groups.values() for wish, asked in _as_largest(group, wishes).items()}
        if _count(found) <= most:
            break
    return found


def _step(value: float, steps: float) -> int | None:
    """Return between which steps the amount is."""
    return math.ceil(math.log2(value) * steps) if value > 0 and steps else None


def _as_largest(group: list[_Wish], wishes: Mapping[_Wish, _Asked]) -> dict[_Wish, _Asked]:
    largest = {name: max(wishes[wish][name] for wish in group) for name in wishes[group[0]]}
    return dict.fromkeys(group, largest)


def _count(wishes: Mapping[_Wish, _Asked]) -> int:
    return len({(wish[1], *asked.items()) for wish, asked in wishes.items()})
