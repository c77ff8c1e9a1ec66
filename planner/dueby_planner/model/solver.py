"""Models (1) and (2) of the study as integer programs, solved with PuLP: the second opinion on every plan.

With a row for each GPU these programs take minutes at 4,096 GPUs. With one integer for each class, the number of its
devices, they take milliseconds and lose nothing: of all mini-batch sizes of a class, an optimal answer of (1) or (2)
needs only the one with the largest capacity C.

    (1)  min sum n_c   s.t.  sum C_c n_c >= N,      0 <= n_c <= count_c
    (2)  max sum C_c n_c   s.t.  sum n_c <= NGPU,   0 <= n_c <= count_c

Where a store limits what all devices take together (feed.py), both have a row more: sum rate_c n_c <= R.

No answer is taken on trust. CBC's integrality tolerance makes it one image short above 10^6 images a device, and PuLP
reports "Optimal" after a time-out. So this module reads `sol_status` and rounds values to integers, and the caller
checks them exactly. PuLP is imported here and nowhere else.

CBC is a process of its own, and starting it takes most of its 4 ms. So a plan asks the solver first, does its own work
meanwhile, and reads the answer last.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import pulp

from dueby_planner.model.feed import Within

# CBC needs about 5 ms. The limit is for an overloaded machine.
TIME_LIMIT_S = 10
_THREAD = ThreadPoolExecutor(1, thread_name_prefix="solver")


@dataclass(frozen=True, kw_only=True)
class SolverAnswer:
    """The solver's answer, rounded to integers and not yet checked."""

    counts: tuple[int, ...]
    """Devices of each class, in the order in which the classes were given."""
    is_proven: bool
    """Whether the solver calls it optimal, rather than the best answer it found in time."""


def ask_fewest(
    classes: Sequence[tuple[int, int]], images: int, within: Within | None = None
) -> Future[SolverAnswer | None]:
    """Ask model (1) over (capacity, count) pairs. The answer is None if the solver finds none or is not there."""
    problem = pulp.LpProblem("fewest", pulp.LpMinimize)
    devices = _devices(problem, classes, within)
    problem += pulp.lpSum(devices)
    problem += pulp.lpSum(c * n for (c, _), n in zip(classes, devices, strict=True)) >= images
    return _ask(problem, devices)


def ask_most(
    classes: Sequence[tuple[int, int]], max_gpus: int, within: Within | None = None
) -> Future[SolverAnswer | None]:
    """Ask model (2) over (capacity, count) pairs. The study multiplies the sum by NGPU, which only scales it."""
    problem = pulp.LpProblem("most", pulp.LpMaximize)
    devices = _devices(problem, classes, within)
    problem += pulp.lpSum(c * n for (c, _), n in zip(classes, devices, strict=True))
    problem += pulp.lpSum(devices) <= max_gpus
    return _ask(problem, devices)


def ask_cheapest(
    classes: Sequence[tuple[int, int, int, int]], *, images: int, needed: int, most: int
) -> Future[SolverAnswer | None]:
    """Ask for least cost over (charge, images by the end, capacity by the deadline, count) of each class.

    min sum h_c n_c   s.t.  sum w_c n_c >= N,   sum C_c n_c >= what the acceptance rule asks for,   sum n_c <= NGPU
    """
    problem = pulp.LpProblem("cheapest", pulp.LpMinimize)
    devices = _devices(problem, [(capacity, count) for _, _, capacity, count in classes], None)
    # In shares of the largest: CBC's tolerances are made for coefficients of about 1.
    largest = max(charge for charge, *_ in classes)
    problem += pulp.lpSum(charge / largest * n for (charge, *_), n in zip(classes, devices, strict=True))
    problem += pulp.lpSum(row[1] / images * n for row, n in zip(classes, devices, strict=True)) >= 1
    problem += pulp.lpSum(row[2] / needed * n for row, n in zip(classes, devices, strict=True)) >= 1
    problem += pulp.lpSum(devices) <= most
    return _ask(problem, devices)


def _devices(
    problem: pulp.LpProblem, classes: Sequence[tuple[int, int]], within: Within | None
) -> list[pulp.LpVariable]:
    """Return the number of devices of each class, whose rates together keep to the bound."""
    devices = [problem.add_variable(f"n{i}", 0, count, pulp.LpInteger) for i, (_, count) in enumerate(classes)]
    if within is not None:
        # In shares of the bound: CBC's tolerances are made for coefficients of about 1.
        shares = [rate / within.most for rate in within.rates]
        problem.addConstraint(pulp.lpSum(s * n for s, n in zip(shares, devices, strict=True)) <= 1, "store")
    return devices


def _ask(problem: pulp.LpProblem, devices: Sequence[pulp.LpVariable]) -> Future[SolverAnswer | None]:
    """Return the answer to come, once CBC runs: until then two threads would only compete for the interpreter."""
    running: Future[None] = Future()
    answer = _THREAD.submit(_solve, problem, devices, lambda: running.set_result(None))
    pending: set[Future[Any]] = {running, answer}
    wait(pending, return_when=FIRST_COMPLETED)
    return answer


def _solve(
    problem: pulp.LpProblem, devices: Sequence[pulp.LpVariable], when_running: Callable[[], None]
) -> SolverAnswer | None:
    try:
        problem.solve(_Cbc(when_running))
    except (pulp.PulpSolverError, OSError):  # no CBC for this platform, or nowhere to write its files
        return None
    except (IndexError, ValueError):  # the disk had no room for all of CBC's answer, which PuLP doesn't notice
        return None
    return read_answer(problem, devices)


def read_answer(problem: pulp.LpProblem, devices: Sequence[pulp.LpVariable]) -> SolverAnswer | None:
    """Return what a solved problem says; None without a solution. `status` is "Optimal" after a time-out: not read."""
    if problem.sol_status not in (pulp.LpSolutionOptimal, pulp.LpSolutionIntegerFeasible):
        return None
    return SolverAnswer(
        counts=tuple(round(device.value() or 0) for device in devices),
        is_proven=problem.sol_status == pulp.LpSolutionOptimal,
    )


class _Cbc(pulp.COIN_CMD):  # type: ignore[misc]
    """The CBC that PuLP brings. It reports when its input is written, so that only the process is left to wait for."""

    def __init__(self, when_running: Callable[[], None]) -> None:
        # No `threads` option: even threads=1 starts CBC's thread pool. On a busy machine the pool loses a wake-up in 1
        # of 200 solves and then sleeps until the time limit (measured: 21 of 4,500 with it, 0 of 9,000 without).
        super().__init__(path=pulp.PULP_CBC_CMD.pulp_cbc_path, msg=False, timeLimit=TIME_LIMIT_S)
        self._when_running = when_running

    def get_pipe(self) -> Any:
        """Return where the process writes to. PuLP asks for this last, just before it starts the process."""
        self._when_running()
        return super().get_pipe()
