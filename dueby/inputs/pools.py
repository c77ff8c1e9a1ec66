"""The devices that `dueby plan --pool` plans with: CLASS=COUNT on the command line, or a file with a fleet.

A fleet needs not exist.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from dueby.inputs.files import SUFFIXES, documents_in
from dueby_api.capacity import AnnouncedDevices, NodePool, PoolFile
from dueby_api.errors import Invalid
from dueby_api.schema import validate

# Characters of a file with a pool. One of two hundred entries has a twentieth.
MAX_POOL = 2**20
COMPARE = "--compare"
"""The option that names fleets to compare."""


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """Devices to plan with."""

    counts: dict[str, int] = field(default_factory=dict)
    """Those that are there all the time, by class."""
    capacity: tuple[AnnouncedDevices, ...] = ()
    """Those that come and go."""
    node_pools: tuple[NodePool, ...] = ()
    """Those that can be asked for."""


def read_fleet(text: str) -> Fleet:
    """Return one of several fleets that are compared: a file, or CLASS=COUNT,CLASS=COUNT,...

    Raise Invalid for anything else, and if devices in it come and go: they are planned with on a calendar only.
    """
    fleet = read_pool([text] if text.endswith(SUFFIXES) else text.split(","), origin=COMPARE)
    if fleet.capacity or fleet.node_pools:
        raise Invalid(COMPARE, f"{text} has capacity or nodePools; compare fleets of classes alone")
    return fleet


def read_pool(entries: Sequence[str], *, origin: str = "--pool") -> Fleet:
    """Return the fleet of entries that are CLASS=COUNT or files; raise Invalid for anything else."""
    counts: dict[str, int] = {}
    capacity: list[AnnouncedDevices] = []
    node_pools: dict[str, NodePool] = {}
    for entry in entries:
        if entry.endswith(SUFFIXES):
            pool = _read_file(entry)
            named = [(listed.name, listed.count) for listed in pool.classes]
            capacity += pool.capacity
            if twice := [found.name for found in pool.node_pools if found.name in node_pools]:
                raise Invalid(origin, f"names the pool {twice[0]} twice; give each a name of its own")
            node_pools |= {found.name: found for found in pool.node_pools}
        else:
            named = [_parse_count(entry, origin)]
        for name, count in named:
            if name in counts:
                raise Invalid(origin, f"names {name} twice; give one count")
            counts[name] = count
    return Fleet(counts=counts, capacity=tuple(capacity), node_pools=tuple(node_pools.values()))


def _read_file(path: str) -> PoolFile:
    documents = list(documents_in(path, most=MAX_POOL))
    if len(documents) != 1:
        raise Invalid(
            path, f"expected one pool, with classes, capacity or nodePools, found {len(documents):,} documents"
        )
    return validate(PoolFile, documents[0][1], origin=path)


def _parse_count(entry: str, origin: str) -> tuple[str, int]:
    name, equals, number = entry.rpartition("=")
    if not (name and equals and re.fullmatch(r"[0-9]{1,9}", number)):
        raise Invalid(
            origin,
            f"{entry!r} is not of the form CLASS=COUNT, such as NVIDIA-A100-SXM4-40GB=8, and no file such as pool.yaml",
        )
    return name, int(number)
