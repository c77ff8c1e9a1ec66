"""Assignments of the domain as workers of the wire, and back: for ConfigMaps and for the record of a run.

This is the one place where the two spellings meet.
"""

from dueby_api.grid import Share
from dueby_api.plan import PlannedWorker
from dueby_planner.model.capacity import DeviceChoice, Provision
from dueby_planner.schedule.job import Assignment


def planned_worker(assignment: Assignment) -> PlannedWorker:
    """Return the assignment with the times it was planned with, for an operator that starts again and for reports."""
    choice, share, provision = assignment.choice, assignment.share, assignment.provision
    return PlannedWorker(
        worker=assignment.worker,
        revision=assignment.revision,
        device_class=assignment.device_class,
        engine=choice.engine,
        mini_batch_size=choice.mini_batch_size,
        iterations=assignment.iterations,
        share=(share.first, share.end),
        profile=choice.profile,
        latency_us=choice.latency_us,
        start_us=choice.start_us,
        expected_start_us=choice.expected_start_us,
        expected_warmup_us=choice.expected_warmup_us,
        step_ratio=choice.step_ratio,
        until_us=assignment.until_us,
        pool=assignment.pool or None,
        provision_us=provision.late_us if provision else None,
        expected_provision_us=provision.expected_us if provision else None,
        spot=assignment.is_spot,
    )


def assignment_of(worker: PlannedWorker) -> Assignment:
    """Return the assignment of a worker that was planned before.

    Its margins are those of the plan that is running already, so they are not part of the wire's spelling.
    """
    first, end = worker.share
    return Assignment(
        worker=worker.worker,
        revision=worker.revision,
        device_class=worker.device_class,
        choice=DeviceChoice(
            engine=worker.engine,
            mini_batch_size=worker.mini_batch_size,
            latency_us=worker.latency_us,
            start_us=worker.start_us,
            expected_start_us=worker.expected_start_us,
            expected_warmup_us=worker.expected_warmup_us,
            profile=worker.profile,
            step_ratio=worker.step_ratio,
        ),
        iterations=worker.iterations,
        share=Share(first=first, end=end),
        until_us=worker.until_us,
        pool=worker.pool or "",
        provision=_provision_of(worker),
        is_spot=worker.spot,
    )


def _provision_of(worker: PlannedWorker) -> Provision | None:
    if worker.provision_us is None:
        return None
    return Provision(expected_us=worker.expected_provision_us or worker.provision_us, late_us=worker.provision_us)
