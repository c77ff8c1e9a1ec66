"""Devices for whom they are: a stack is devices of one class that the same jobs may use. Pure.

A job's devices over time are counted by stack, so that what one job may not use is never promised to it, and what only
one job may use is never kept from it. Devices of several classes may share a node's cores, memory or pods: those are
rivals, and whoever takes one of the first takes so many of each of the others.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from dueby_api.inference_job import JobSpec
from dueby_operator.model.job_snapshot import JobKey


@dataclass(frozen=True, kw_only=True)
class Claimant:
    """A job that may have devices."""

    key: JobKey
    spec: JobSpec
    classes: tuple[str, ...]
    """The device classes that there is a profile of."""


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Devices of one class that the same jobs may use."""

    name: str
    device_class: str
    devices: int
    """All there are, whoever has them now."""
    idle: int
    """Those that nobody has now."""
    users: frozenset[JobKey]
    """The jobs that may use them."""
    nodes: frozenset[str] = frozenset()
    """Where they are; empty where there are no nodes."""


@dataclass(frozen=True, kw_only=True)
class Stacks:
    """All devices that any of the jobs may use."""

    all: tuple[Stack, ...]
    rivals: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """By stack, how many of each other stack's devices are gone with one of its own."""

    def of(self, key: JobKey, device_class: str | None = None) -> list[Stack]:
        """Return the stacks that the job may use, of one class or of all."""
        return [stack for stack in self._by_user.get(key, ()) if device_class in (None, stack.device_class)]

    def at(self, key: JobKey, device_class: str, node: str) -> Stack | None:
        """Return the stack that a worker of the job has its device of; None if it has none of any."""
        return next((stack for stack in self.of(key, device_class) if node in stack.nodes or not stack.nodes), None)

    def class_of(self, name: str) -> str:
        """Return the device class of a stack."""
        return self._classes[name]

    @cached_property
    def nodes(self) -> frozenset[str]:
        """All nodes; none on one machine."""
        return frozenset[str]().union(*(stack.nodes for stack in self.all))

    @cached_property
    def _classes(self) -> Mapping[str, str]:
        return {stack.name: stack.device_class for stack in self.all}

    @cached_property
    def _by_user(self) -> Mapping[JobKey, list[Stack]]:
        found: dict[JobKey, list[Stack]] = {}
        for stack in self.all:
            for key in stack.users:
                found.setdefault(key, []).append(stack)
        return found
