"""What the jobs of each namespace use of its budget, by their statuses. Pure.

A job's bill is in its status (spending.py), also that of one that is over. One whose namespace has a budget is not
deleted by its time to live before its use has left the window. What people delete is remembered from pass to pass; an
operator that starts again has forgotten it.
"""

from collections import defaultdict
from collections.abc import Mapping

from dueby_api.budgets import NamespaceBudget, budget_of
from dueby_api.status import JobStatus
from dueby_operator.control.conditions import is_over
from dueby_operator.control.snapshot import ClusterSnapshot, SeenUse
from dueby_operator.control.spending import (
    bill_until,
    device_us_of,
    expected_bill,
    expected_held,
    present_until,
    returned_device_us,
)
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.objects.parse import micros_of
from dueby_planner.model.budget import NOTHING, Account, Expense, Use
from dueby_planner.model.cost import Tariff


def accounts_of(snapshot: ClusterSnapshot) -> Mapping[str, Account]:
    """Return the budget of each namespace that has one and has jobs, with what these use of it."""
    tariff, by_namespace = snapshot.tariff, defaultdict[str, list[JobSnapshot]](list)
    if tariff is None or not snapshot.budgets:
        return {}
    for job in snapshot.jobs:
        by_namespace[job.namespace].append(job)
    # Of jobs that are deleted, or so many that those that are over are not read.
    unread = defaultdict[str, list[Expense]](list)
    for uid in snapshot.seen.keys() - {job.uid for job in snapshot.jobs if job.status.spent}:
        unread[snapshot.seen[uid].namespace].append(snapshot.seen[uid].expense)
    accounts: dict[str, Account] = {}
    for namespace, jobs in by_namespace.items():
        if named := budget_of(snapshot.budgets, namespace):
            account = _account(namespace, *named, jobs, tariff, now_us=snapshot.now_us)
            accounts[namespace] = account.with_past(unread[namespace])
    return accounts


def use_by_now(snapshot: ClusterSnapshot) -> Mapping[str, SeenUse]:
    """Return by uid what jobs have used until now, and until when they count, those that are deleted included."""
    tariff, now_us = snapshot.tariff, snapshot.now_us
    if tariff is None or not snapshot.budgets:
        return {}
    seen = {uid: use for uid, use in snapshot.seen.items() if use.counts_until_us > now_us}
    for job in snapshot.jobs:
        spent, window_us = job.status.spent, snapshot.budget_window_us(job.namespace)
        if spent is not None and window_us:
            bill = bill_until(spent, tariff, now_us)
            cost = bill.micro_units if bill.currency == tariff.currency else 0
            ends_us = (micros_of(job.status.ends) if is_over(job.status) else None) or now_us
            device_us = returned_device_us(spent) + device_us_of(present_until(spent, now_us))
            expense = Expense(Use(cost, device_us), ends_us)
            seen[job.uid] = SeenUse(job.namespace, expense, ends_us + window_us)
    return seen


def spent_use(status: JobStatus) -> Use:
    """Return what a job used for devices that it gave back."""
    spent = status.spent
    return NOTHING if spent is None else Use(spent.micro_units, returned_device_us(spent))


def _account(
    namespace: str, entry: str, budget: NamespaceBudget, jobs: list[JobSnapshot], tariff: Tariff, *, now_us: int
) -> Account:
    past, current = [], {}
    for job in jobs:
        try:
            expense = _expense(job.status, tariff, now_us=now_us)
        except ValueError:  # a plan's time that somebody else has written must not end everybody's pass
            expense = _expense(job.status.replace(plan=None), tariff, now_us=now_us)
        if not is_over(job.status):
            current[job.name] = expense
        elif expense.ends_us + budget.window_us > now_us:
            past.append(expense)
    return Account(
        namespace=namespace,
        entry=entry,
        window=budget.window,
        window_us=budget.window_us,
        money=budget.money,
        device_us=budget.device_us,
        past=tuple(past),
        current=current,
    )


def _expense(status: JobStatus, tariff: Tariff, *, now_us: int) -> Expense:
    """Return what a job did use and is expected to use, and when it ended or is expected to end.

    What has no price, or one in another currency, is not in it: a job begins only on devices that have one.
    """
    bill = expected_bill(status, tariff, now_us=now_us)
    cost = bill.micro_units if bill is not None and bill.currency == tariff.currency else 0
    device_us = spent_use(status).device_us + device_us_of(expected_held(status, now_us=now_us))
    ends_us = micros_of(status.ends) or now_us
    return Expense(Use(cost, device_us), ends_us if is_over(status) else max(now_us, ends_us))
