"""Kubernetes quantities as numbers, and what pods ask for in sum. Pure."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

from dueby_operator.objects.meta import Amount
from dueby_operator.objects.pods import Container, PodSpec

_SUFFIXES = {
    "": 1.0,
    "n": 1e-9,
    "u": 1e-6,
    "m": 1e-3,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "P": 1e15,
    "E": 1e18,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
    "Pi": 2**50,
    "Ei": 2**60,
}


def quantity(text: Amount) -> float:
    """Return a quantity as a number: 250m is 0.25, 4Gi is 2 ** 32. Raise ValueError for anything else."""
    parts = re.fullmatch(r"([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)([A-Za-z]*)", str(text))
    if parts is None or parts[2] not in _SUFFIXES:
        raise ValueError(f"{text!r} is not a quantity, such as 500m, 4 or 2Gi")
    return float(parts[1]) * _SUFFIXES[parts[2]]


def quantities(amounts: Mapping[str, Amount]) -> dict[str, float]:
    """Return quantities by name as numbers."""
    return {name: quantity(value) for name, value in amounts.items()}


def requests_of(spec: PodSpec) -> dict[str, float]:
    """Return what a pod asks for by resource: its containers in sum, or its largest initial one, with its overhead."""
    asked: dict[str, float] = defaultdict(float)
    started: dict[str, float] = defaultdict(float)
    sidecars: dict[str, float] = defaultdict(float)
    for name, value in _asked(spec.containers):
        asked[name] += value
    for container in spec.init_containers:
        for name, value in _asked([container]):
            if container.restart_policy == "Always":  # a sidecar stays beside the containers
                asked[name] += value
                sidecars[name] += value
            else:
                started[name] = max(started[name], value + sidecars[name])
    total = {name: max(asked[name], started[name]) for name in asked.keys() | started.keys()}
    for name, value in quantities(spec.overhead).items():
        total[name] = total.get(name, 0.0) + value
    return total


def _asked(containers: Iterable[Container]) -> list[tuple[str, float]]:
    """Return what containers ask for. Where only a limit is set, it is the request, too."""
    return [
        (name, value)
        for container in containers
        for name, value in quantities({**container.resources.limits, **container.resources.requests}).items()
    ]
