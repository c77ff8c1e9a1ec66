"""`dueby plan` as people read it: the table, the sentences below it, and what would do instead."""

import io
import re

import pytest
from rich.console import Console

from dueby.plan_words import CLAIM
from dueby.terminal.plan_table import print_plan
from dueby_api.inference_job import DeadlineClass
from dueby_api.input_cost import InputCost
from dueby_planner.deadline_classes import judge
from support.plan_command import Plan, profile
from support.planner import A100, choice, group, problem


def test_the_table_shows_the_groups(plan: Plan) -> None:
    code, out, _ = plan(confidence=0.5)
    assert code == 0
    headings, row = out.splitlines()[:2]
    named = ["CLASS", "ENGINE", "COUNT", "BATCH", "ITERATIONS", "IMAGES EACH", "S + W", "STEP", "FINISH"]
    assert re.split(r" {2,}", headings.strip()) == named
    figures = [A100, "cudagraph", "5", "64", "1 + 624", "40,000", "900ms", "14.0 ms", "9.6s"]
    assert re.split(r" {2,}", row.strip()) == figures


@pytest.mark.parametrize("width", [72, 80, 120, 200])
def test_the_table_fits_terminals_and_nothing_in_it_is_cut(width: int) -> None:
    found = group(choice(64, 14_000, 900_000), count=8, name="NVIDIA-A100-SXM4-40GB-MIG-1g.5gb")
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=True, color_system=None)
    print_plan(judge(problem(found, images=200_000, time=10_000_000), "Soft"), console)
    lines = out.getvalue().splitlines()
    assert max(len(line.rstrip()) for line in lines) <= width
    assert "…" not in out.getvalue()
    table = " ".join(lines[: lines.index("")]).split()
    assert {"CLASS", "ENGINE", "COUNT", "BATCH", "ITERATIONS", "EACH", "STEP", "FINISH", "64", "14.0"} <= set(table)
    assert "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb" in "".join(word for word in table if re.search(r"-|\dg", word))


def test_in_a_run_the_plan_says_how_much_is_left_of_the_deadline_that_the_end_is_told_by() -> None:
    out = io.StringIO()
    found = group(choice(64, 14_000, 900_000), count=8)
    verdict = judge(problem(found, images=200_000, time=10_000_000), "Soft")
    print_plan(verdict, Console(file=out, width=200), whole_us=25_000_000)
    assert "for 200,000 images in the 10s left of 25s: expected after" in out.getvalue()


def test_the_proof_is_a_sentence_and_says_what_it_holds_for(plan: Plan) -> None:
    _, out, _ = plan(confidence=0.5)
    assert "4 GPUs can do at most 166,656 of 200,000 images by the deadline." in out
    assert CLAIM in out
    assert re.search(r"Proof \(ClosedForm\+CBC, \d+\.\d ms\): ", out)


def test_the_table_says_when_and_how_likely(plan: Plan) -> None:
    _, out, _ = plan(confidence=0.5)
    assert "5 GPUs for 200,000 images in 10s: expected after 9.6s, at confidence 0.5 after 9.8s, slack 154ms." in out
    assert "Probability of being in time: 0.9965. Parts of 4,096 images." in out


def test_one_gpu_needs_no_proof_that_none_is_too_few(plan: Plan) -> None:
    assert "No plan has fewer than 1 GPU." in plan(images=1)[1]


def test_cpu_slices_are_not_called_gpus(plan: Plan) -> None:
    slices = profile(device_class="cpu-1", engine="openvino", device={"slices": 8, "threads": 1})
    _, out, _ = plan(profiles=[slices], pool=None, confidence=0.5)
    assert "5 CPU slices for" in out
    assert "GPU" not in out


def test_a_file_gets_the_table_and_warnings_are_told_beside_it(plan: Plan) -> None:
    _, out, err = plan(profiles=[profile(startupMicros=None)])
    assert out.startswith("CLASS ")
    assert "Warning" not in out
    assert err.splitlines()[-1].startswith("Warning: a100 has no start-up time")


def test_an_infeasible_job_is_warned_of_the_same(plan: Plan) -> None:
    _, _, err = plan(profiles=[profile(startupMicros=None)], images=400_000, deadlineClass="Hard")
    assert err.splitlines()[-1].startswith("Warning: a100 has no start-up time")


def test_what_is_normal_to_know_of_profiles_is_one_line_until_it_is_asked_for(plan: Plan) -> None:
    two = [
        profile(spread={}, startupMicros=None),
        {**profile(spread={}, engine="compile"), "metadata": {"name": "compiled", "uid": "u"}},
    ]
    _, _, folded = plan(profiles=two)
    warning, line = folded.splitlines()
    assert warning.startswith("Warning: a100 has no start-up time")
    assert line == "3 notes on the profiles: see `dueby plan -v`."
    _, _, told = plan("-v", profiles=two)
    assert sorted(line.partition(";")[0] for line in told.splitlines() if line.startswith("Note")) == [
        "Note: a100 has no spread between runs",
        "Note: compiled has no spread between nodes",
        "Note: compiled has no spread between runs",
    ]
    assert "on the profiles" not in told


def test_infeasible_is_told_with_what_would_do(plan: Plan) -> None:
    code, out, _ = plan(images=400_000, confidence=0.5, deadlineClass="Hard")
    assert code == 3
    assert "Infeasible: 8 GPUs can do at most 333,312 of 400,000 images in 10s at confidence 0.5" in out
    lines = [" ".join(line.split()) for line in out.splitlines()[1:]]
    assert re.fullmatch(r"more time deadline: 12s \(until \S+Z, started now\)", lines[0])
    assert lines[1:] == [
        "at most 333,312 images",
        "a confidence of none",
        f"more {A100} 2",
    ]


@pytest.mark.parametrize(
    ("most", "images", "rows"),
    [
        pytest.param(
            4,
            200_000,
            ["a gpus.max of 5", f"more {A100} 1 with the job's limit (gpus.max) raised by as many"],
            id="the devices are there",
        ),
        pytest.param(
            4, 400_000, [f"more {A100} 6 with the job's limit (gpus.max) raised by as many"], id="they are not"
        ),
        pytest.param(
            8, 334_000, [f"more {A100} 1 with the job's limit (gpus.max) raised by as many"], id="all of them"
        ),
        pytest.param(20, 400_000, ["more " + A100 + " 2"], id="it may have more than there are"),
    ],
)
def test_more_devices_than_the_job_may_have_need_a_higher_limit(
    plan: Plan, most: int, images: int, rows: list[str]
) -> None:
    _, out, _ = plan(images=images, confidence=0.5, deadlineClass="Hard", gpus={"max": most})
    lines = [" ".join(line.split()) for line in out.splitlines()[1:]]
    assert lines[3:] == rows


@pytest.mark.parametrize("deadline_class", ["Hard", "Soft"])
def test_a_deadline_that_has_passed_is_said_to_have(deadline_class: DeadlineClass) -> None:
    verdict = judge(problem(group(choice(64, 14_000, 900_000)), images=1_000, time=-12_000_000), deadline_class)
    out = io.StringIO()
    print_plan(verdict, Console(file=out, width=400), advise=lambda earliest_us: f"deadline: {earliest_us}us")
    first = out.getvalue().splitlines()[0]
    assert first.startswith("Infeasible: the deadline passed 12s ago, before work on 1,000 images could begin.")
    assert re.search(r"What it takes: deadline: \d+us$", first)
    assert " in -" not in out.getvalue()
    assert " 0 images" not in out.getvalue()


def test_a_late_plan_is_shown_under_the_alternatives(plan: Plan) -> None:
    _, out, _ = plan(images=400_000, confidence=0.5)
    assert "The plan that ends earliest, which a Soft or Relaxed job starts although it is late:" in out
    assert "late by 1.8s" in out
    assert "No 7 GPUs of this pool end within 12s, as these 8 do." in out


def test_of_two_that_are_late_no_single_one_would_do(plan: Plan) -> None:
    assert (
        "No single GPU of this pool ends within 23s, as these 2 do."
        in plan(pool=f"{A100}=2", images=200_000, confidence=0.5)[1]
    )


def test_the_input_terms_are_shown_where_they_are_known() -> None:
    verdict = judge(problem(group(choice(64, 14_000, 900_000)), images=1_000, time=10_000_000), "Soft")
    out = io.StringIO()
    cost = InputCost(decode_us=4_210, get_us=300, bytes_per_image=110_000, bandwidth_bytes_per_s=80e6)
    print_plan(verdict, Console(file=out, width=200), cost=cost)
    said = "Input, per image in every step: 4.21 ms to decode and 0.30 ms to read 110 kB at 80 MB/s."
    assert out.getvalue().splitlines()[-1] == said
