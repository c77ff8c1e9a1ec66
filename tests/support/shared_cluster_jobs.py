"""The jobs of a cluster in small (shared_cluster.py), and what their workers have done."""

from dataclasses import dataclass, field

from dueby_operator.control.conditions import is_over
from dueby_operator.jobs.pod_state import ABSENT_US
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_planner.schedule.job import Assignment


@dataclass(kw_only=True)
class Working:
    """A worker and what it has done."""

    assignment: Assignment
    node: str
    cpus: float = 1.0
    born_us: int
    node_us: int | None = None
    """Since when it has a node; None while it waits for one that it has asked for."""
    stopped_us: int | None = None
    is_lost: bool = False
    speed: float = 1.0
    images: float = 0.0
    group: str = ""
    """Its Job, if that is in a queue."""
    is_queued: bool = False

    def images_in(self, from_us: int, to_us: int) -> float:
        """What it does between two times."""
        if self.is_queued or self.node_us is None:
            return 0.0
        choice, provision = self.assignment.choice, self.assignment.provision
        provision_us = provision.expected_us if provision else 0
        warm_us = self.node_us + choice.expected_start_us - provision_us - choice.latency_us
        end_us = to_us if self.stopped_us is None else min(to_us, self.stopped_us)
        return max(0, end_us - max(from_us, warm_us)) * self.speed * choice.mini_batch_size / choice.latency_us

    def is_absent(self, now_us: int) -> bool:
        """Whether it has been without a node for 30 s longer than it could take to come."""
        return (
            not self.is_gone
            and self.node_us is None
            and now_us > self.born_us + self.assignment.may_come_us + ABSENT_US
        )

    @property
    def is_gone(self) -> bool:
        return self.is_lost or self.stopped_us is not None


@dataclass(kw_only=True)
class Running:
    """A job of the cluster."""

    snapshot: JobSnapshot
    images: int
    workers: list[Working] = field(default_factory=list)
    done: float = 0.0
    ended_us: int | None = None
    most: int = 0
    """Workers at most at once."""
    phases: list[str] = field(default_factory=list)

    @property
    def alive(self) -> list[Working]:
        return [worker for worker in self.workers if not worker.is_gone]

    @property
    def is_done(self) -> bool:
        return self.ended_us is not None

    @property
    def is_over(self) -> bool:
        """Whether it is done, or was refused."""
        return is_over(self.snapshot.status)
