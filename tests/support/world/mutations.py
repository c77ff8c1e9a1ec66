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


MUTATIONS: Mapping[str, Mutation] = {
    # A worker looks whose sink it is before it writes.
    "own-sink": Mutation(
        module="dueby_worker.work.commits",
        text="if manifest is None or (manifest.fingerprint, manifest.part_size) != own:",
        replacement="if False:",
    ),
    # A part is created only if there is none.
    "create-only": Mutation(
        module="dueby_worker.work.commits",
        text="elif not self._store.create(name, data):",
        replacement="elif self._store.replace(name, data):",
    ),
    # What exists already is used only if this very job owns it.
    "own-object": Mutation(
        module="dueby_operator.kube.apply",
        text="is_own = there.is_owned_by(owner.uid) if owner else",
        replacement="is_own = True if owner else",
    ),
    # An operator whose Lease has run out writes nothing.
    "lease": Mutation(
        module="dueby_operator.kube.lease",
        text="return 0.0 if self.is_over else max(0.0, self.until_s - self.margin_s - self.clock_s())",
        replacement="return 100.0",
    ),
    # A job succeeds once its finish step has.
    "finish": Mutation(
        module="dueby_worker.steps.finish_step",
        text="_require_every_part(store.list_names(), grid, sink=store.uri)",
        replacement="pass",
    ),
    # A status is written over the version that was read.
    "version": Mutation(
        module="dueby_operator.reconciler",
        text='"resourceVersion": stored.version,',
        replacement="",
    ),
}


def install(name: str) -> None:
    """Put a bug into DueBy before it is loaded."""
    mutation = MUTATIONS[name]
    library.mutate(mutation.module, mutation.text, mutation.replacement)
