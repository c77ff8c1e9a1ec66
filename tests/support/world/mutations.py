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
    # An operator whose Lease has run out writes nothing.
    "lease": (
        Mutation(
            module="dueby_operator.kube.lease",
            text="return 0.0 if self.is_over else max(0.0, self.until_s - self.margin_s - self.clock_s())",
            replacement="return 100.0",
        ),
    ),
}


def install(name: str) -> None:
    """Put a bug into DueBy before it is loaded."""
    for mutation in MUTATIONS[name]:
        library.mutate(mutation.module, mutation.text, mutation.replacement)
