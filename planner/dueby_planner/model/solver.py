"""Models (1) and (2) of the study as integer programs, solved with PuLP: the second opinion on every plan.

With a GPU per row these programs take minutes at 4,096 GPUs. By classes they take milliseconds, and lose nothing: of
all mini-batch sizes of a class only the one of the largest capacity C can be in an optimal answer of (1) or (2), so
there is one integer a class, the number of its devices.

    (1)  min sum n_c   s.t.  sum C_c n_c >= N,      0 <= n_c <= count_c
    (2)  max sum C_c n_c   s.t.  sum n_c <= NGPU,   0 <= n_c <= count_c

Nothing is believed: CBC's integrality tolerance makes it one image short above 10^6 images a device, and PuLP reports
"Optimal" after a time-out. So `sol_status` is read, values are rounded to integers, and the caller checks them
exactly; an answer that fails is not repaired but left out of the proof. PuLP is imported here and nowhere else.

CBC is a process of its own, and starting it is most of its 4 ms. So a question is asked first and its answer read last.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import pulp

# CBC needs some 5 ms; this is for a machine that is out of breath.
TIME_LIMIT_S = 10
_THREAD = ThreadPoolExecutor(1, thread_name_prefix="solver")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The solver's answer, rounded to integers, not yet believed."""

    counts: tuple[int, ...]
    """Devices of each class, in the order they were given."""
    is_proven: bool
    """Whether the solver says that it is optimal, rather than the best found in time."""


def ask_fewest(classes: Sequence[tuple[int, int]], images: int) -> Future[Answer | None]:
    """Model (1) over (capacity, count) pairs; None where the solver finds no answer or isn't there."""
    problem = pulp.LpProblem("fewest", pulp.LpMinimize)
    devices = _devices(problem, classes)
    problem += pulp.lpSum(devices)
    problem += pulp.lpSum(c * n for (c, _), n in zip(classes, devices, strict=True)) >= images
    return _ask(problem, devices)


def ask_most(classes: Sequence[tuple[int, int]], most_gpus: int) -> Future[Answer | None]:
    """Model (2) over (capacity, count) pairs; the study's factor NGPU in front of the sum only scales it."""
    problem = pulp.LpProblem("most", pulp.LpMaximize)
    devices = _devices(problem, classes)
    problem += pulp.lpSum(c * n for (c, _), n in zip(classes, devices, strict=True))
    problem += pulp.lpSum(devices) <= most_gpus
    return _ask(problem, devices)


def _devices(problem: pulp.LpProblem, classes: Sequence[tuple[int, int]]) -> list[pulp.LpVariable]:
    return [problem.add_variable(f"n{i}", 0, count, pulp.LpInteger) for i, (_, count) in enumerate(classes)]


def _ask(problem: pulp.LpProblem, devices: Sequence[pulp.LpVariable]) -> Future[Answer | None]:
    """The answer to come, once CBC runs: until then PuLP and the caller would only take turns at the interpreter."""
    running: Future[None] = Future()
    answer = _THREAD.submit(_solve, problem, devices, lambda: running.set_result(None))
    pending: set[Future[Any]] = {running, answer}
    wait(pending, return_when=FIRST_COMPLETED)
    return answer


def _solve(
    problem: pulp.LpProblem, devices: Sequence[pulp.LpVariable], when_running: Callable[[], None]
) -> Answer | None:
    try:
        problem.solve(_Cbc(when_running))
    except (pulp.PulpSolverError, OSError):  # no CBC for this platform, or nowhere to write its files
        return None
    return read_answer(problem, devices)


def read_answer(problem: pulp.LpProblem, devices: Sequence[pulp.LpVariable]) -> Answer | None:
    """What a solved problem says; None without a solution. `status` says "Optimal" after a time-out: not read."""
    if problem.sol_status not in (pulp.LpSolutionOptimal, pulp.LpSolutionIntegerFeasible):
        return None
    return Answer(
        counts=tuple(round(device.value() or 0) for device in devices),
        is_proven=problem.sol_status == pulp.LpSolutionOptimal,
    )


class _Cbc(pulp.COIN_CMD):  # type: ignore[misc]
    """The CBC that PuLP brings, telling when its input is written and there is only the process to wait for."""

    def __init__(self, when_running: Callable[[], None]) -> None:
        # No `threads`: even threads=1 starts CBC's thread pool, which on a busy machine loses a wake-up in 1 of 200
        # solves and then sleeps until the time limit (measured: 21 of 4,500 with it, 0 of 9,000 without).
        super().__init__(path=pulp.PULP_CBC_CMD.pulp_cbc_path, msg=False, timeLimit=TIME_LIMIT_S)
        self._when_running = when_running

    def get_pipe(self) -> Any:
        """Where the process writes to: what PuLP asks for last before it starts it."""
        self._when_running()
        return super().get_pipe()
