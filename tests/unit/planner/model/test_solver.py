"""The second opinion: integer programs by classes, answers that are read with care, and plans without an answer."""

from concurrent.futures import Future
from pathlib import Path

import pulp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_planner.deadline_classes import make_plan
from dueby_planner.model import plan as plan_module
from dueby_planner.model.plan import Infeasible, Plan
from dueby_planner.model.proof import BOTH, CLOSED_FORM, judge_fewest, judge_most
from dueby_planner.model.rule import EqualDevices
from dueby_planner.model.solver import SolverAnswer, ask_fewest, ask_most, read_answer
from support.examples import examples
from support.planner import choice, group, problem

CLASSES = st.lists(st.tuples(st.integers(1, 10**5), st.integers(1, 300)), min_size=1, max_size=6)


def answered(answer: Future[SolverAnswer | None]) -> SolverAnswer:
    """Return the answer of a solver that has one."""
    found = answer.result()
    assert found is not None
    return found


def largest_first(classes: list[EqualDevices]) -> list[int]:
    """Return every device's capacity."""
    return sorted((c for c, n in classes for _ in range(n)), reverse=True)


# ---- the programs


@examples(40)
@given(CLASSES, st.integers(1, 100))
def test_model_1_answers_with_the_least_number(classes: list[EqualDevices], percent: int) -> None:
    each = largest_first(classes)
    images = max(1, sum(each) * percent // 100)
    found = answered(ask_fewest(classes, images))
    assert found.is_proven
    assert sum(found.counts) == next(k for k in range(1, len(each) + 1) if sum(each[:k]) >= images)
    assert sum(c * n for (c, _), n in zip(classes, found.counts, strict=True)) >= images


@examples(40)
@given(CLASSES, st.integers(1, 400))
def test_model_2_answers_with_the_most_images_of_so_many_gpus(classes: list[EqualDevices], most: int) -> None:
    found = answered(ask_most(classes, most))
    done = sum(c * n for (c, _), n in zip(classes, found.counts, strict=True))
    assert done == sum(largest_first(classes)[:most]), "the study's factor NGPU would count it many times"


def test_a_program_without_a_solution_has_no_answer() -> None:
    assert ask_fewest([(10, 3)], 31).result() is None


def test_above_a_million_images_a_gpu_cbc_is_an_image_short() -> None:
    # The reason why nothing is believed: 7 x 3,001,000 + 1 images need an eighth GPU.
    found = answered(ask_fewest([(3_001_000, 9)], 7 * 3_001_000 + 1))
    assert sum(found.counts) == 7


# ---- reading an answer


def solved(sol_status: int, values: tuple[float | None, ...]) -> SolverAnswer | None:
    """Return what is read of a problem that ended like this. Its `status` is "Optimal", as it is after a time-out."""
    asked = pulp.LpProblem("asked", pulp.LpMinimize)
    devices = [asked.add_variable(f"n{i}", 0, 9, pulp.LpInteger) for i, _ in enumerate(values)]
    for device, value in zip(devices, values, strict=True):
        device.varValue = value
    asked.status, asked.sol_status = pulp.LpStatusOptimal, sol_status
    return read_answer(asked, devices)


def test_optimal_after_a_time_out_is_not_proven() -> None:
    assert solved(pulp.LpSolutionIntegerFeasible, (3,)) == SolverAnswer(counts=(3,), is_proven=False)
    assert solved(pulp.LpSolutionOptimal, (3,)) == SolverAnswer(counts=(3,), is_proven=True)


@pytest.mark.parametrize(
    "status", [pulp.LpSolutionNoSolutionFound, pulp.LpSolutionInfeasible, pulp.LpSolutionUnbounded]
)
def test_a_status_without_a_solution_is_no_answer(status: int) -> None:
    assert solved(status, (3,)) is None


def test_values_are_rounded_to_the_nearest_never_cut() -> None:
    assert solved(pulp.LpSolutionOptimal, (2.9999999, 3.0000001, None)) == SolverAnswer(
        counts=(3, 3, 0), is_proven=True
    )


# ---- judging it


# Three GPUs do 290 images at the most.
THERE = [(100, 2), (90, 5)]


@pytest.mark.parametrize(
    ("answer", "proof"),
    [
        pytest.param(SolverAnswer(counts=(2, 1), is_proven=True), BOTH, id="as many, and enough"),
        pytest.param(SolverAnswer(counts=(1, 2), is_proven=True), BOTH, id="others, but as many and enough"),
        pytest.param(SolverAnswer(counts=(2, 1), is_proven=False), CLOSED_FORM, id="stopped by its time limit"),
        pytest.param(SolverAnswer(counts=(2, 0), is_proven=True), CLOSED_FORM, id="one too few"),
        pytest.param(SolverAnswer(counts=(0, 3), is_proven=True), CLOSED_FORM, id="as many, but not enough"),
        pytest.param(SolverAnswer(counts=(2, 2), is_proven=True), CLOSED_FORM, id="one too many"),
        pytest.param(SolverAnswer(counts=(3, 0), is_proven=True), CLOSED_FORM, id="more than there are"),
        pytest.param(SolverAnswer(counts=(-3, 6), is_proven=True), CLOSED_FORM, id="less than none"),
        pytest.param(None, CLOSED_FORM, id="none"),
    ],
)
def test_an_answer_to_model_1_counts_only_if_it_stands_up_to_exact_arithmetic(
    answer: SolverAnswer | None, proof: str
) -> None:
    found, doubt = judge_fewest(answer, THERE, needed=280, gpus=3)
    assert found == proof
    assert bool(doubt) is (proof == CLOSED_FORM)


@pytest.mark.parametrize(
    ("answer", "proof"),
    [
        pytest.param(SolverAnswer(counts=(2, 1), is_proven=True), BOTH, id="the largest sum"),
        pytest.param(SolverAnswer(counts=(2, 1), is_proven=False), CLOSED_FORM, id="stopped by its time limit"),
        pytest.param(SolverAnswer(counts=(1, 2), is_proven=True), CLOSED_FORM, id="less than can be done"),
        pytest.param(SolverAnswer(counts=(2, 2), is_proven=True), CLOSED_FORM, id="more GPUs than allowed"),
        pytest.param(SolverAnswer(counts=(3, 0), is_proven=True), CLOSED_FORM, id="more than there are"),
        pytest.param(None, CLOSED_FORM, id="none"),
    ],
)
def test_an_answer_to_model_2_counts_only_if_it_is_the_closed_form_s(answer: SolverAnswer | None, proof: str) -> None:
    assert judge_most(answer, THERE, most=3) == proof


# ---- without a solver


def test_a_cbc_that_can_not_be_started_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulp.PULP_CBC_CMD, "pulp_cbc_path", "/nowhere/cbc")
    assert ask_fewest([(10, 3)], 25).result() is None


@pytest.mark.parametrize("written", ["", "Optimal - objective value 3\n      0 n0"])
def test_an_answer_that_the_disk_has_no_room_for_is_no_answer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, written: str
) -> None:
    cbc = tmp_path / "cbc"
    cbc.write_text(f"#!/bin/sh\nfor last; do :; done\nprintf %s '{written}' > \"$last\"\n")
    cbc.chmod(0o755)
    monkeypatch.setattr(pulp.PULP_CBC_CMD, "pulp_cbc_path", str(cbc))
    assert ask_fewest([(10, 3)], 25).result() is None


def test_without_a_solver_the_plan_is_the_same_and_says_whose_proof_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = problem(group(choice(64, 14_000, 900_000), count=8), images=200_000, time=10_000_000)
    both = make_plan(asked)
    monkeypatch.setattr(pulp.PULP_CBC_CMD, "pulp_cbc_path", "/nowhere/cbc")
    alone = make_plan(asked)
    assert isinstance(both, Plan)
    assert isinstance(alone, Plan)
    assert (both.proof, alone.proof) == (BOTH, CLOSED_FORM)
    assert alone.groups == both.groups
    assert alone.warnings == ("the solver gave no proven answer, so the proof is the closed form's alone",)


def test_without_a_solver_infeasible_is_proven_by_the_closed_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulp.PULP_CBC_CMD, "pulp_cbc_path", "/nowhere/cbc")
    found = make_plan(problem(group(choice(10, 10, 0), count=2), images=21, time=9))
    assert isinstance(found, Infeasible)
    assert found.proof == CLOSED_FORM


def test_an_answer_that_disagrees_is_left_out_and_the_plan_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong: Future[SolverAnswer | None] = Future()
    wrong.set_result(SolverAnswer(counts=(1,), is_proven=True))
    monkeypatch.setattr(plan_module, "ask_fewest", lambda *_: wrong)
    plan = make_plan(problem(group(choice(10, 10, 0), count=3), images=15, time=9))
    assert isinstance(plan, Plan)
    assert (plan.gpus, plan.proof) == (2, CLOSED_FORM)
    assert plan.warnings == ("the solver's answer failed the exact check, so the proof is the closed form's alone",)
