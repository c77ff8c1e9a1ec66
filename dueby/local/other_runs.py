"""Other runs of this user on this machine: each says in a file what it uses, for those that begin after it.

A run plans with every device of the machine. Two of them give the same cores to two workers, which then take longer
than planned; so the second is told, and nobody is stopped. But one that writes to the same sink is refused: both would
classify the same images, and one of them for nothing. The file carries a lock as long as its run lives
(dueby_worker/system/temporary_files.py); one without is deleted.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from dueby_api.errors import Invalid
from dueby_api.schema import LenientSpec, decode
from dueby_api.words import counted
from dueby_worker.output.sink_manifest import SINK_FIELD
from dueby_worker.system.temporary_files import hold, is_left


class OtherRun(LenientSpec, frozen=True, kw_only=True):
    """What a run says of itself."""

    pid: int
    jobs: tuple[str, ...]
    """Their names."""
    slots: tuple[str, ...]
    """The names of the devices that it may use."""
    sinks: tuple[str, ...] = ()
    """Where it writes: each as places.sink_uri has it."""

    @property
    def sentence(self) -> str:
        """What it means for a run that begins now."""
        return (
            f"another dueby run (process {self.pid}: {', '.join(self.jobs)}) uses {counted(len(self.slots), 'device')} "
            f"of this machine, too: {', '.join(self.slots)}. Where both work at once, both take longer than planned"
        )


@contextmanager
def announced(
    folder: Path, *, node: str, jobs: Sequence[str], slots: Sequence[str], sinks: Sequence[str]
) -> Iterator[list[OtherRun]]:
    """Say in the folder what this run uses while the block runs; yield the runs of this node that use some of it, too.

    Each of those has only the slots that both use. Raise Invalid if one writes to one of these sinks.
    """
    others = [other for path in sorted(folder.glob(f"{node}.*.json")) for other in _living(path)]
    for other in others:
        _require_apart(other, sinks)
    shared = [other.replace(slots=tuple(name for name in other.slots if name in slots)) for other in others]
    this_run = OtherRun(pid=os.getpid(), jobs=tuple(jobs), slots=tuple(slots), sinks=tuple(sinks))
    with ExitStack() as stack:
        # It is for others alone: a run that has no room to say it, or no right to, runs all the same.
        with suppress(OSError):
            stack.enter_context(_told(this_run, folder / f"{node}.{this_run.pid}.json"))
        yield [other for other in shared if other.slots]


def _require_apart(other: OtherRun, sinks: Sequence[str]) -> None:
    if both := [sink for sink in sinks if sink in other.sinks]:
        raise Invalid(
            SINK_FIELD,
            f"another dueby run (process {other.pid}: {', '.join(other.jobs)}) writes to {both[0]}; wait until it has "
            "ended, or give the job another sink",
        )


@contextmanager
def _told(run: OtherRun, path: Path) -> Iterator[None]:
    """Say it in the file while the block runs. Raise OSError if it can't be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("wb", buffering=0) as file:
            hold(file.fileno())
            file.write(json.dumps(run.document()).encode())
            yield
    finally:
        path.unlink(missing_ok=True)


def _living(path: Path) -> Iterator[OtherRun]:
    """Yield what a run has said that still lives. Delete what one has left that was killed."""
    # It may be gone meanwhile, or its file system has no locks; and a run that just begins has said nothing yet.
    with suppress(OSError, Invalid), path.open("rb") as file:
        if is_left(file.fileno()):
            path.unlink()
        else:
            yield decode(OtherRun, file.read())
