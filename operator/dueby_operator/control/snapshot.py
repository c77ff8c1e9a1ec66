"""Everything that was seen at one moment, parsed: what decide() decides on. Both backends fill it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from dueby_api.budgets import NamespaceBudget, budget_of
from dueby_api.gpu_profile import GPUProfile
from dueby_api.store_limits import StoreLimits
from dueby_operator.cluster.nodes import Node
from dueby_operator.model.devices import Devices
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.profiling.attempts import OnDemandSnapshot
from dueby_operator.profiling.upkeep import ProfilingSnapshot
from dueby_planner.deadline_classes import NO_LIMITS, Promises
from dueby_planner.model.budget import Expense
from dueby_planner.model.cost import Tariff


class SeenUse(NamedTuple):
    """What a job had used of its namespace's budget when it was seen last."""

    namespace: str
    expense: Expense
    counts_until_us: int
    """When it leaves the budget's window, in microseconds since 1970."""


@dataclass(frozen=True, kw_only=True)
class ClusterSnapshot:
    """All jobs, and what they share. One machine is a cluster that keeps no profiles."""

    now_us: int
    """In microseconds since 1970."""
    jobs: tuple[JobSnapshot, ...]
    """Jobs that are over, too: they are cleared away in time."""
    devices: Devices
    """What is free."""
    profiles: tuple[GPUProfile, ...] = ()
    nodes: Mapping[str, Node] = field(default_factory=dict)
    time_to_live_us: int | None = None
    """How long a job that is over is kept, if it doesn't say; None: permanently."""
    promises: Promises = NO_LIMITS
    """What may be promised to jobs."""
    stores: tuple[StoreLimits, ...] = ()
    """What stores serve, to all jobs that read of them."""
    tariff: Tariff | None = None
    """What devices cost; None: nobody has said it."""
    budgets: Mapping[str, NamespaceBudget] = field(default_factory=dict)
    """What the jobs of a namespace may use, by namespace; `*`: each one that is not named."""
    seen: Mapping[str, SeenUse] = field(default_factory=dict)
    """What jobs had used by the last pass, by uid, those among them that have been deleted."""
    worker_image: str = ""
    """The image of workers whose job names none."""
    keeps_profiles: bool = False
    """Whether classes' profiles are kept up to their nodes'."""
    on_demand: OnDemandSnapshot | None = None
    """What is measured on demand for everybody; None: the operator has no namespace for it."""
    profiling: ProfilingSnapshot | None = None
    """Profiling on nodes; None if there is none, or if it is not its turn."""

    def budget_window_us(self, namespace: str) -> int:
        """Return the length of the window of the namespace's budget, in microseconds; 0 if it has no budget."""
        named = budget_of(self.budgets, namespace)
        return named[1].window_us if named else 0
