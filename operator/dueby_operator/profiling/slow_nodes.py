"""Nodes that are too slow for their class, and so are classes of their own. Pure.

A node is slow if its mean step is more than 20 % longer than its class's: over the mini-batch sizes that other nodes
have measured, too, the mean of its L divided by the lower median of theirs. Being slow with any model and engine makes
the node slow, and whatever was measured there is the profile of a class of its own, `CLASS@NODE`. It stays one until
it is within 15 %, so that a node at the border doesn't come and go. A node without others to compare it with stays as
it is.

A node that is as much faster than its class stays in it, but its profile is no part of the class's: a single one that
is wrong would make the class look faster than it is, and its nodes so different that no plan could be sure of them.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from dueby_api.gpu_profile import GPUProfile
from dueby_api.subject import Subject, node_of
from dueby_operator.profiling.known_profiles import is_of_slow_node, node_subject

# Nodes of a healthy class differ by a few percent. The gap keeps a node at the border from coming and going.
SLOW, RECOVERED = 1.20, 1.15
Steps = Mapping[int, float]
"""L in microseconds by mini-batch size."""


def slow_nodes(profiles: Iterable[GPUProfile]) -> frozenset[str]:
    """Return the nodes that are too slow for their class with any model."""
    every_profile = list(profiles)
    already = {node_of(profile.spec.device_class) for profile in every_profile if is_of_slow_node(profile)}
    slow = set()
    for nodes in _by_node(every_profile).values():
        for node, ratio in relative_latencies(nodes).items():
            is_slow = node in already if ratio is None else ratio > (RECOVERED if node in already else SLOW)
            if is_slow:
                slow.add(node)
    return frozenset(slow)


def without_fast(profiles: Sequence[GPUProfile]) -> list[GPUProfile]:
    """Return the nodes' profiles of one subject without those of nodes that are much faster than most of the others."""
    fast = {
        node
        for nodes in _by_node(profiles).values()
        for node, ratio in relative_latencies(nodes, to_upper=True).items()
        if ratio is not None and ratio * SLOW < 1
    }
    return [profile for profile in profiles if profile.spec.device.node not in fast] or list(profiles)


def relative_latencies(nodes: Mapping[str, Steps], *, to_upper: bool = False) -> dict[str, float | None]:
    """Return each node's latency relative to the lower median of the other nodes, averaged over mini-batch sizes.

    Only sizes that another node has measured, too, count; None if there are none. `to_upper`: relative to the upper
    median instead.
    """
    by_size: dict[int, list[float]] = defaultdict(list)
    for sizes in nodes.values():
        for size, step_us in sizes.items():
            by_size[size].append(step_us)
    for steps in by_size.values():
        steps.sort()
    relative = {}
    for node, sizes in nodes.items():
        shared = [(by_size[size], us) for size, us in sizes.items() if len(by_size[size]) > 1]
        ratios = [us / _median_of_others(steps, us, is_upper=to_upper) for steps, us in shared]
        relative[node] = fmean(ratios) if ratios else None
    return relative


def _median_of_others(ascending: Sequence[float], value: float, *, is_upper: bool) -> float:
    """Return the lower or upper median without one value that is `value`. So a thousand nodes are sorted once."""
    middle = (len(ascending) - 1 if is_upper else len(ascending) - 2) // 2
    return ascending[middle if middle < bisect_left(ascending, value) else middle + 1]


def _by_node(profiles: Iterable[GPUProfile]) -> dict[Subject, dict[str, Steps]]:
    """Return, by subject and node, the L of each size; of a node with several devices their mean."""
    times: dict[Subject, dict[str, dict[int, list[int]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for profile in profiles:
        if profile.spec.device.node:
            sizes = times[node_subject(profile.spec)][profile.spec.device.node]
            for step in profile.spec.steps:
                sizes[step.mini_batch_size].append(step.latency_micros.mean)
    return {
        subject: {node: {size: fmean(us) for size, us in sizes.items()} for node, sizes in nodes.items()}
        for subject, nodes in times.items()
    }
