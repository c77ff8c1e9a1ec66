"""What was decided about previewed jobs as a document, in the words of `dueby plan`. Pure."""

from collections import Counter
from collections.abc import Iterator

from dueby_api.calendar import ClusterAnswer, PlannedPool, PlannedWindow, PreviewedJob, planned_window
from dueby_api.inference_job import InferenceJob
from dueby_api.status import PlanStatus
from dueby_api.units import parse_time_us, seconds
from dueby_operator.control.conditions import is_over
from dueby_operator.control.job_decision import JobDecision
from dueby_operator.model.actions import StartWorkers
from dueby_operator.preview.preview import Preview
from dueby_planner.schedule.request import Reserve


def cluster_answer(preview: Preview) -> ClusterAnswer:
    """Return the preview as a document. Its times count from now."""
    jobs = tuple(_previewed_job(decision, now_us=preview.now_us) for decision in preview.decisions)
    plans = (decision.status.plan for decision in preview.decisions)
    peaks = {name: _peak(jobs, name) for name in sorted({hold.device_class for job in jobs for hold in job.windows})}
    return ClusterAnswer(
        feasible=all(job.action not in ("Refuse", "Hold") for job in jobs),
        jobs=jobs,
        pool=tuple(
            PlannedPool(device_class=name, devices=max(peak, preview.devices.get(name, 0)), peak=peak)
            for name, peak in peaks.items()
        ),
        assumptions=preview.assumptions,
        warnings=tuple(dict.fromkeys(warning for plan in plans if plan for warning in plan.warnings)),
    )


def _previewed_job(decision: JobDecision, *, now_us: int) -> PreviewedJob:
    status, manifest = decision.status, decision.manifest
    if not isinstance(manifest, InferenceJob):
        raise manifest
    spec = manifest.spec
    deadline_us = spec.deadline_us(accepted_us=now_us)
    answer = PreviewedJob(
        name=decision.job.name,
        deadline_class=spec.deadline_class,
        action=_action(decision),
        namespace=decision.job.namespace,
        deadline_seconds=seconds(deadline_us - now_us),
        message=status.message or "",
    )
    plan = status.plan
    if plan is None or is_over(status):
        return answer
    windows = (
        *_begun(decision, plan, now_us=now_us),
        *(planned_window(window, now_us=now_us) for window in plan.windows),
    )
    return answer.replace(
        gpus=plan.gpus,
        lower_bound=plan.lower_bound,
        probability=plan.probability,
        expected_seconds=seconds(parse_time_us(plan.expected_finish) - now_us),
        slack_seconds=seconds(deadline_us - parse_time_us(plan.finish_at_confidence)),
        starts=sum(window.count for window in windows),
        gpu_seconds=round(sum(window.count * (window.to_seconds - window.from_seconds) for window in windows), 6),
        windows=windows,
        cost=plan.cost,
    )


def _action(decision: JobDecision) -> str:
    """Return what is done with the job, in the word that `dueby plan` has for it."""
    plan = decision.status.plan
    if is_over(decision.status):
        return "Refuse"
    if any(isinstance(action, StartWorkers) for action in decision.actions):
        return "StartLate" if plan and plan.slack.startswith("-") else "Start"
    if decision.work and isinstance(decision.work.action, Reserve):
        return "Reserve"
    is_hard = isinstance(decision.manifest, InferenceJob) and decision.manifest.spec.deadline_class == "Hard"
    return "Hold" if decision.work and is_hard else "Wait"


def _begun(decision: JobDecision, plan: PlanStatus, *, now_us: int) -> Iterator[PlannedWindow]:
    """Yield the devices that workers are started on now: until they are meant for others, or to the expected end."""
    starts = [action for action in decision.actions if isinstance(action, StartWorkers)]
    alike = Counter(
        (worker.device_class, worker.choice, worker.iterations, worker.until_us, worker.pool)
        for start in starts
        for worker in start.assignments
    )
    ends_us = parse_time_us(plan.expected_finish)
    for (device_class, choice, iterations, until_us, pool), count in alike.items():
        yield PlannedWindow(
            device_class=device_class,
            engine=choice.engine,
            from_seconds=0.0,
            to_seconds=seconds((ends_us if until_us is None else until_us) - now_us),
            count=count,
            mini_batch_size=choice.mini_batch_size,
            images=count * (iterations + 1) * choice.mini_batch_size,
            pool=pool or None,
        )


def _peak(jobs: tuple[PreviewedJob, ...], device_class: str) -> int:
    """Return how many devices of the class these jobs hold at most at once."""
    windows = [window for job in jobs for window in job.windows if window.device_class == device_class]
    return max(
        sum(other.count for other in windows if other.from_seconds <= window.from_seconds < other.to_seconds)
        for window in windows
    )
