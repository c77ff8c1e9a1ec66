"""A budget from the operator's settings to a job's status, on an API server of a few objects."""

import asyncio
from dataclasses import replace
from typing import Any

from dueby_api.budgets import NamespaceBudget
from dueby_operator import paths
from dueby_planner.model.cost import Price, Tariff
from support.control_loop import Clock, Store, reconciler, synthetic
from support.decisions import SECOND, SETTINGS

TARIFF = Tariff(currency="EUR", prices={"cpu-1": Price(hourly=3_600_000_000)})


def feasible(store: Store, name: str) -> tuple[str, str]:
    """Return the reason of the job's condition Feasible, and what the column of `kubectl get infj` says."""
    status: dict[str, Any] = store.objects[paths.jobs_path("team", name)]["status"]
    (found,) = [entry for entry in status["conditions"] if entry["type"] == "Feasible"]
    return found["reason"], status["message"]


def test_what_a_job_used_that_was_deleted_is_not_given_to_the_next_one() -> None:
    store, clock = Store(), Clock()
    budgets = {"*": NamespaceBudget(window="1h", cost="100 EUR")}
    settings = replace(SETTINGS, tariff=TARIFF, budgets=budgets)

    async def run() -> None:
        async with reconciler(store, clock, {}, settings=settings) as loop:
            for name in ("a", "b", "c"):
                store.add(paths.jobs_path("team", name), synthetic(name))
                for _ in range(2):
                    await loop.reconcile()
                    clock.now_us += 10 * SECOND
                if name == "b":
                    del store.objects[paths.jobs_path("team", "a")]

    asyncio.run(run())
    for name in ("b", "c"):
        reason, message = feasible(store, name)
        assert reason == "Waiting"
        assert "the budget of the namespace team (budgets.*.cost) is 100.00 EUR in 1h" in message
