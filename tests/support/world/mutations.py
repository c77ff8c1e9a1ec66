"""Bugs to put into DueBy, to see that the simulation finds them: a text of a module and what it is replaced by.

Each takes one of the checks away that rows and promises stand on. A mutation whose text is gone is an error, since then
nobody knows any more that the check is tried.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from support.world import library


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """A bug."""

    module: str
    text: str
    replacement: str


MUTATIONS: Mapping[str, tuple[Mutation, ...]] = {
    # A job that has lost its status doesn't overwrite its own rows.
    "own-rows": (
        Mutation(
            module="dueby_worker.output.admission",
            text="kept = _never_emptied(store, begun, config)",
            replacement="kept = None",
        ),
    ),
    # A worker looks whose sink it is before and after it writes.
    "look": (
        Mutation(
            module="dueby_worker.work.commits",
            text="if manifest is None or (manifest.fingerprint, manifest.grid) != own:",
            replacement="if False:",
        ),
    ),
    # Of several writers of a part one wins.
    "create-only": (
        Mutation(
            module="dueby_worker.work.commits",
            text="self._store.create(name, data, before=look)",
            replacement="not self._store.replace(name, data, before=look)",
        ),
    ),
    # A sink is not finished while it has images without a row.
    "set-aside": (
        Mutation(
            module="dueby_worker.output.success",
            text="store.delete(SUCCESS)",
            replacement="pass",
        ),
    ),
    # Of an image that has changed twice, the newest row is replaced.
    "newest-row": (
        Mutation(
            module="dueby_worker.index.difference",
            text="for uri, (*_, newest) in",
            replacement="for uri, (newest, *_) in",
        ),
    ),
    # An operator whose Lease has run out writes nothing.
    "lease": (
        Mutation(
            module="dueby_operator.kube.lease",
            text="return 0.0 if self.is_over else max(0.0, self.until_s - self.margin_s - self.clock_s())",
            replacement="return 100.0",
        ),
    ),
    # A process is taken for dead only if it was one of the same container.
    "predecessors": (
        Mutation(
            module="dueby_operator.kube.lease",
            text="predecessors=pod,",
            replacement="predecessors=socket.gethostname(),",
        ),
    ),
    # What is there of the name of an object that is to be made is somebody else's if it has another owner.
    "own-object": (
        Mutation(
            module="dueby_operator.kube.apply",
            text="if is_own and not existing.is_deleting:",
            replacement="if not existing.is_deleting:",
        ),
    ),
    # No more devices are counted than there are.
    "devices": (
        Mutation(
            module="dueby_operator.cluster.device_groups",
            text="=devices,\n            idle=idle,\n            spare=kind.count - had,",
            replacement="=devices + 1,\n            idle=idle + 1,\n            spare=kind.count - had + 1,",
        ),
    ),
    # A job whose parts are all there ends at once, and so in time.
    "promises": (
        Mutation(
            module="dueby_operator.control.policies.finish",
            text="if scheduled.is_complete:",
            replacement="if scheduled.is_complete and inputs.now_us > inputs.deadline_us + 5_000_000:",
        ),
    ),
}


# Faults that a world with the bug has in any case, since it shows only under them.
SURELY: Mapping[str, tuple[str, ...]] = {
    "lease": ("paused operator", "two operators"),
    "create-only": ("late store", "unheard store", "paused worker"),
}


def install(name: str) -> None:
    """Put a bug into DueBy before it is loaded."""
    for mutation in MUTATIONS[name]:
        library.mutate(mutation.module, mutation.text, mutation.replacement)
