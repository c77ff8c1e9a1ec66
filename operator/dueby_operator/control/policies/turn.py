"""Turn: is the job one of those of its namespace that are planned now?

it has workers, or a plan               nothing: what is begun or promised is always planned
it is suspended                         nothing: it takes no turn
fewer than MAX_PLANNED are before it    nothing
otherwise                               Admitted False, TooManyJobs; it waits for its turn, in the order of deadlines

What a pass costs grows with the jobs that are planned, and others' jobs wait for the same pass. So nobody has more of
them than this, however many jobs there are. What holds a job back here makes no objects for it, either.

Many namespaces may still have more together than one pass has time for: what is begun is never held back, and a
calendar that is being made can't be interrupted. So one pass decides on MAX_IN_A_PASS of them, the next on others.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from operator import itemgetter

from dueby_api.conditions import Reason
from dueby_api.errors import Invalid
from dueby_operator.control.chain import Outcome, PolicyInput
from dueby_operator.control.conditions import without_reasons
from dueby_operator.model.conditions import NewCondition
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_planner.schedule.job import JobKey

# Of a namespace. So many take a pass about a second of a core.
MAX_PLANNED = 500
# Of all namespaces. On a thousand nodes each takes some 4 ms.
MAX_IN_A_PASS = 600


def turn(inputs: PolicyInput) -> Outcome:
    """Hold a job whose turn has not come."""
    if inputs.has_turn:
        return Outcome(status=without_reasons(inputs.status, Reason.TOO_MANY_JOBS))
    message = (
        f"{MAX_PLANNED} jobs of the namespace {inputs.job.namespace} are planned, and no more are at once. This one is "
        "planned when others have ended; those with the earliest deadlines are next."
    )
    return Outcome(conditions=(NewCondition(reason=Reason.TOO_MANY_JOBS, message=message),), ends=True)


def without_turn(jobs: Sequence[JobSnapshot]) -> frozenset[JobKey]:
    """Return those of the jobs, which are in the order of their deadlines, whose turn has not come."""
    planned = Counter(job.namespace for job in jobs if _is_begun(job))
    waiting: set[JobKey] = set()
    for job in jobs:
        if _is_held(job) or _is_begun(job):
            continue
        if planned[job.namespace] >= MAX_PLANNED:
            waiting.add(job.key)
        planned[job.namespace] += 1
    return frozenset(waiting)


def beyond_a_pass(jobs: Sequence[JobSnapshot], waiting: Collection[JobKey]) -> frozenset[JobKey]:
    """Return those of the jobs that keep their last decision in this pass: all but MAX_IN_A_PASS that are planned.

    Namespaces take turns. Of each, those come first that most passes in a row have left out; of equals, those that are
    begun or promised; of these, those with the earliest deadlines. The jobs are in the order of their deadlines.
    """
    places, ranked = Counter[str](), []
    for job in sorted(jobs, key=lambda job: (-job.memory.left_out, not _is_begun(job))):
        if job.key not in waiting and not _is_held(job):
            ranked.append((places[job.namespace], job.key))
            places[job.namespace] += 1
    ranked.sort(key=itemgetter(0))
    return frozenset(key for _, key in ranked[MAX_IN_A_PASS:])


def _is_held(job: JobSnapshot) -> bool:
    return isinstance(job.manifest, Invalid) or job.manifest.spec.suspend


def _is_begun(job: JobSnapshot) -> bool:
    return job.has_workers or job.status.plan is not None
