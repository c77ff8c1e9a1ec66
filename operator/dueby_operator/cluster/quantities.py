"""What pods ask for in sum. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress

from dueby_api.quantities import Amount, quantity
from dueby_operator.objects.pods import Container, PodSpec

# What can be said of a pod as a whole, from Kubernetes 1.34 on by default.
_OF_PODS = ("cpu", "memory")


def quantities(amounts: Mapping[str, Amount]) -> dict[str, float]:
    """Return quantities by name as numbers."""
    return {name: quantity(value) for name, value in amounts.items()}


def readable_quantities(amounts: Mapping[str, Amount]) -> dict[str, float]:
    """Return quantities by name as numbers, without those that can't be read: there is nothing of them."""
    numbers = {}
    for name, amount in amounts.items():
        with suppress(ValueError):
            numbers[name] = quantity(amount)
    return numbers


def requests_of(spec: PodSpec) -> dict[str, float]:
    """Return what a pod asks for by resource, with its overhead.

    It is what is said of the pod as a whole, or else its containers in sum, or its largest initial one.
    """
    running: dict[str, float] = defaultdict(float)
    started: dict[str, float] = defaultdict(float)
    sidecars: dict[str, float] = defaultdict(float)
    for name, value in _asked(spec.containers):
        running[name] += value
    for container in spec.init_containers:
        for name, value in _asked([container]):
            if container.restart_policy == "Always":  # a sidecar stays beside the containers
                running[name] += value
                sidecars[name] += value
            else:
                started[name] = max(started[name], value + sidecars[name])
    total = {name: max(running[name], started[name]) for name in running.keys() | started.keys()}
    whole = spec.resources
    usual = {name: value for name, value in whole.limits.items() if name not in total}
    total |= _of_pod({**usual, **whole.requests})
    for name, value in quantities(spec.overhead).items():
        total[name] = total.get(name, 0.0) + value
    return total


def limits_of(spec: PodSpec) -> dict[str, float]:
    """Return what a pod may use, or its containers in sum, as a quota names it, such as limits.memory."""
    total: dict[str, float] = defaultdict(float)
    for container in spec.containers:
        for name, value in quantities(container.resources.limits).items():
            total[f"limits.{name}"] += value
    return {**total, **{f"limits.{name}": value for name, value in _of_pod(spec.resources.limits).items()}}


def _of_pod(amounts: Mapping[str, Amount]) -> dict[str, float]:
    return {name: quantity(amounts[name]) for name in _OF_PODS if name in amounts}


def _asked(containers: Iterable[Container]) -> list[tuple[str, float]]:
    """Return what containers ask for. Where only a limit is set, it is the request, too."""
    return [
        (name, value)
        for container in containers
        for name, value in quantities({**container.resources.limits, **container.resources.requests}).items()
    ]
