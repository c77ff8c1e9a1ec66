"""What the jobs of each namespace use of its budget, by their statuses. Pure.

A job's bill is in its status (spending.py), also that of one that is over, and is there until the job is deleted.
"""

from collections import defaultdict
from collections.abc import Mapping

from dueby_api.budgets import NamespaceBudget, budget_of
from dueby_api.status import JobStatus
from dueby_operator.control.conditions import is_over
from dueby_operator.control.snapshot import ClusterSnapshot
from dueby_operator.control.spending import expected_bill, expected_held, held_us
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.objects.parse import micros_of
from dueby_planner.model.budget import Account, Expense, Use
from dueby_planner.model.cost import Tariff


def accounts_of(snapshot: ClusterSnapshot) -> Mapping[str, Account]:
    """Return the budget of each namespace that has one and has jobs, with what these use of it."""
    tariff = snapshot.tariff
    if tariff is None or not snapshot.budgets:
        return {}
    by_namespace: dict[str, list[JobSnapshot]] = defaultdict(list)
    for job in snapshot.jobs:
        by_namespace[job.namespace].append(job)
    accounts: dict[str, Account] = {}
    for namespace, jobs in by_namespace.items():
        if named := budget_of(snapshot.budgets, namespace):
            entry, budget = named
            accounts[namespace] = _account(namespace, entry, budget, jobs, tariff, now_us=snapshot.now_us)
    return accounts


def spent_use(status: JobStatus) -> Use:
    """Return what a job used for devices that it gave back."""
    spent = status.spent
    return Use() if spent is None else Use(spent.micro_units, held_us(spent))


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
    held_device_us = sum(count * max(0, time_us) for _, count, time_us in expected_held(status, now_us=now_us))
    ends_us = micros_of(status.ends) or now_us
    return Expense(
        Use(cost, spent_use(status).device_us + held_device_us),
        ends_us if is_over(status) else max(now_us, ends_us),
    )
