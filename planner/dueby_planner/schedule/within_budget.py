"""A job among others, and its namespace's budget: what it may have of it, and what becomes of it if that is too little.

a new Hard job          is refused, and told when enough is free; so is every job that needs more than the whole
other new jobs          wait until then
jobs that go on         keep what they have, and get no more; what is promised to a job was counted then
"""

from collections.abc import Mapping
from dataclasses import replace

from dueby_api.conditions import Reason
from dueby_planner.model.budget import Account, Room, Use
from dueby_planner.model.cost_words import over_cost_sentence
from dueby_planner.model.max_cost import OverCost
from dueby_planner.schedule.job import ScheduledJob
from dueby_planner.schedule.request import Refuse, Wait, WorkDecision
from dueby_planner.schedule.watch import expect_finish_us


def with_room(job: ScheduledJob, accounts: Mapping[str, Account]) -> ScheduledJob:
    """Return the job with what it may have of its namespace's budget, as the other jobs leave it now."""
    namespace, name = job.key
    is_promised = job.windows and not job.has_started and job.news != "Edited"
    if namespace not in accounts or is_promised:
        return job
    return replace(job, room=Room(account=accounts[namespace], name=name, spent=job.spent, now_us=job.now_us))


def over_budget(job: ScheduledJob, room: Room, use: Use, *, proof: str = "") -> WorkDecision:
    """Return what becomes of a job that would use more than it may have of its budget, and what it is told.

    A refusal begins with the proof, if there is one. What a job waits for holds no time that goes by.
    """
    if job.goes_on or (job.deadline_class != "Hard" and room.enough_us(use) is not None):
        return no_more(job, room.sentence(use))
    sentence = f"{proof} {room.when_sentence(use)}" if proof else room.sentence(use)
    return WorkDecision(action=Refuse(reason=Reason.OVER_BUDGET, sentence=sentence))


def told_of_budget(job: ScheduledJob, refuse: Refuse) -> WorkDecision:
    """Return the refusal, or what becomes of the job instead where it is the budget that its cheapest plan exceeds."""
    over = refuse.verdict.infeasible if refuse.verdict else None
    if job.room is None or not isinstance(over, OverCost) or not over.limit.is_budget:
        return WorkDecision(action=refuse)
    return over_budget(job, job.room, Use(over.least), proof=over_cost_sentence(over))


def no_more(job: ScheduledJob, message: str) -> WorkDecision:
    """Return that a job gets no more than it has, since it can't pay for it; nothing is reserved for it any more."""
    return WorkDecision(
        action=Wait(message=message),
        lag=job.lag,
        is_short=job.goes_on,
        is_over_cost=True,
        expected_finish_us=expect_finish_us(replace(job, reserved=())) if job.alive else None,
    )
