"""What is remembered of a job between two passes. An operator that starts again does without."""

from dataclasses import dataclass

from dueby_planner.schedule.lag import FRESH, LagMemory


@dataclass(frozen=True, kw_only=True)
class JobMemory:
    """What the last decision about a job has left for the next."""

    lag: LagMemory = FRESH
    """Readings of the workers' lag."""
    generation: int | None = None
    """Generation of the spec that was last decided on."""
    waited_for_windows: bool = False
    """Whether its windows did not do then."""
    lost: frozenset[str] = frozenset()
    """Workers that were lost then."""
    lost_all: bool = False
    """Whether it has no worker because one was lost, and none was started since."""
    queued: frozenset[str] = frozenset()
    """Workers that waited in a queue then."""
    promised_us: int | None = None
    """When the running plan expects the end; the status has it to the second."""
    refused_until_us: int = 0
    """Nothing is created before this time, since the API server has forbidden it."""
    left_out: int = 0
    """How many passes in a row had no time for it. The more, the earlier it comes in the next."""
    faults: int = 0
    """How often in a row the operator itself could not handle the job."""
    retry_us: int = 0
    """After such a fault the job is left alone until this time."""


NOTHING = JobMemory()
