"""`dueby calendar`: what it makes of the jobs that are listed, and of what it can't read."""

import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from dueby.cli.calendar_table import lines_of
from dueby.cli.main import main
from dueby.cli.show_calendar import watch
from dueby.cluster.job_list import read_jobs
from dueby_api.errors import DueByError
from dueby_api.units import parse_time_us
from dueby_pages.calendar import ShownCalendar
from dueby_pages.cluster_calendar import shown_cluster
from support.cluster_list import class_profile, group, job, listed, moment, plan, refused, reserved, running
from support.report_page import words_of

Show = Callable[..., tuple[int, str, str]]
BY_STATUSES = "by what the jobs' statuses say; how many there are isn't known."
MIX = {"a100": 2, "l4": 2}


@pytest.fixture
def show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Show:
    """`dueby calendar` of a list with these items, read from a file."""

    def call(*options: str, items: list[object] | str) -> tuple[int, str, str]:
        path = tmp_path / "list.json"
        path.write_text(items if isinstance(items, str) else listed(*items))
        code = main(["calendar", "-f", str(path), *options])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_the_table_shows_who_has_what_now_and_what_is_reserved(show: Show) -> None:
    code, out, err = show(
        items=[
            reserved("later", ("a100", 2, 1800, 3600), deadline_s=4000, deadline_class="Relaxed"),
            running("now", gpus=4, from_s=-600, to_s=1800, deadline_s=3600),
            job("waits", phase="Queued", deadline_s=90_000, deadline_class="BestEffort"),
        ]
    )
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split()[:8] == ["JOB", "CLASS", "PHASE", "DEVICES", "STARTS", "EXPECTED", "DEADLINE", "SLACK"]
    # By deadline.
    assert [line.split()[0] for line in lines[1:4]] == ["team/now", "team/later", "team/waits"]
    assert re.search(
        r"Hard +Running +4 +10m\d\ds ago +(30m00s|29m\d\ds) +(1h00m|59m\d\ds) +(30m0|29m5)\ds +█{9,11}.", lines[1]
    )
    assert re.search(r"Relaxed +Scheduled +1 +(30m00s|29m\d\ds) .* (6m4|6m3)\ds +.[▄▅]{9,11}", lines[2])
    assert lines[3].split()[1:7] == ["BestEffort", "Queued", "-", "-", "-", "25h00m"]
    assert f"a100: at most 4 at once {BY_STATUSES}" in lines


def test_a_job_of_several_classes_has_those_of_its_plan(show: Show) -> None:
    _, out, _ = show(items=[running("mixed", gpus=4, from_s=-60, to_s=600, classes=MIX)])
    assert f"a100: at most 2 at once {BY_STATUSES}\nl4: at most 2 at once {BY_STATUSES}" in out
    # A worker was lost, and the status doesn't say of which class.
    _, out, _ = show(items=[running("mixed", gpus=3, from_s=-60, to_s=600, classes=MIX)])
    assert f"a100 or l4: at most 3 at once {BY_STATUSES}" in out


def test_statuses_of_different_moments_add_up_to_no_more_than_there_is(show: Show) -> None:
    """On eight cores: the first job's status is of before the second got five of them."""
    items = [
        running("old", gpus=8, from_s=-600, to_s=1800, classes={"cpu-1": 8}),
        running("new", gpus=5, from_s=-20, to_s=900, classes={"cpu-1": 5}),
        reserved("later", ("cpu-1", 8, 1850, 3600)),
        running("gpus", gpus=4, from_s=-60, to_s=600),
    ]
    _, out, _ = show(items=items)
    assert f"cpu-1: at most 13 at once {BY_STATUSES}" in out
    known = [class_profile("cpu-1", 8), class_profile("cpu-1", None), class_profile("l4", 2)]
    _, out, _ = show(items=[*items, *known])
    assert "13 are held" not in out
    lines = out.splitlines()
    assert "cpu-1: at most 8 of 8 devices are held at once." in lines
    assert "l4: at most 0 of 2 devices are held at once." in lines
    assert f"a100: at most 4 at once {BY_STATUSES}" in lines
    said = "cpu-1: the jobs' statuses are of different moments and add up to 13 of the 8 devices that there are; "
    assert f"{said}what is older is shown in part." in " ".join(lines)
    _, page, _ = show("-o", "html", items=[*items, *known])
    assert "cpu-1 · 8 devices, at most 8 held at once" in words_of(page)


@pytest.mark.parametrize("devices", [-1, "many", 1.5, 0])
def test_profiles_that_say_nothing_of_use_leave_the_number_unknown(show: Show, devices: object) -> None:
    items = [running("now", gpus=4, from_s=-600, to_s=1800), class_profile("a100", devices), {"kind": "GPUProfile"}]
    _, out, _ = show(items=items)
    assert f"a100: at most 4 at once {BY_STATUSES}" in out


def test_an_overdue_job_still_has_its_devices(show: Show) -> None:
    _, out, _ = show(items=[running("slow", gpus=2, from_s=-600, to_s=-60, deadline_s=-30, message="It is slow.")])
    assert f"a100: at most 2 at once {BY_STATUSES}" in out
    # It ends now at the earliest, whatever its workers' last word was.
    assert re.search(r"Hard +Running +2 +10m\d\ds ago +1m\d\ds ago +[345]\ds ago +-[345]\ds ", out)
    assert "team/slow: It is slow." in out


def test_a_job_whose_deadline_has_passed_is_late_without_a_plan(show: Show) -> None:
    _, out, _ = show(items=[job("held", deadline_s=-40, message="No device is free.")])
    assert re.search(r"Planning +- +- +- +[45]\ds ago +-[45]\ds", out)
    assert "team/held: No device is free." in out


def test_a_job_that_waits_says_for_what_and_one_that_is_planned_does_not(show: Show) -> None:
    items = [job("a", phase="Queued", message="It waits for 2 devices."), job("b", message="It is planned next.")]
    _, out, _ = show(items=items)
    assert "team/a: It waits for 2 devices." in out
    assert "planned next" not in out


@pytest.mark.parametrize(
    ("width", "left_out"),
    [pytest.param(80, {"EXPECTED", "NOW"}, id="80"), pytest.param(105, {"EXPECTED"}, id="105"), (120, set())],
)
def test_in_a_narrow_terminal_columns_go_before_other_jobs_names_are_broken(width: int, left_out: set[str]) -> None:
    long = "re-classification-of-the-catalog-of-2026"
    items = [running(name, gpus=4, from_s=-90_000, to_s=1800) for name in ("catalog-night", long)]
    jobs = read_jobs(listed(*items), origin="here", namespace=None)
    screen = io.StringIO()
    console = Console(file=screen, width=width)
    shown = shown_cluster(jobs, now_us=parse_time_us(moment(0)), with_namespaces=True)
    console.print(*lines_of(shown, console), sep="\n")
    lines = screen.getvalue().splitlines()
    heading = lines[0].split()
    assert {"EXPECTED", "NOW"} - set(heading) == left_out
    assert heading[-3:] == ["NOW", "TO", "1h00m"] or "NOW" in left_out
    assert "team/catalog-night" in lines[1]
    assert "25h00m ago" in lines[1]
    assert max(map(len, lines)) <= width


def test_a_late_job_says_why(show: Show) -> None:
    late = running("slow", gpus=2, from_s=-600, to_s=600, deadline_s=300, message="It ends 5m00s late.")
    _, out, _ = show(items=[late, running("fine", gpus=1, from_s=0, to_s=60, message="Four of five are done.")])
    assert "team/slow: It ends 5m00s late." in out
    assert "Four of five" not in out


def test_a_job_without_a_status_comes_last(show: Show) -> None:
    new = {name: value for name, value in job("a").items() if name != "status"}
    _, out, _ = show(items=[new, job("b", deadline_s=90_000)])
    assert [line.split()[:3] for line in out.splitlines()[1:3]] == [
        ["team/b", "Hard", "Planning"],
        ["team/a", "Hard", "Pending"],
    ]


def test_jobs_that_are_over_are_counted(show: Show) -> None:
    _, out, _ = show(items=[job("a", phase="Succeeded"), job("b", phase="Failed"), job("c", phase="Succeeded")])
    assert out.splitlines() == ["No job has devices or waits for some.", "3 jobs are over: 1 Failed, 2 Succeeded."]


def test_a_namespace_is_chosen_and_not_repeated(show: Show) -> None:
    items: list[object] = [job("a"), job("b", namespace="other"), job("c", namespace="other", phase="Failed")]
    _, out, _ = show("-n", "team", items=items)
    assert out.splitlines()[1].startswith("a ")
    assert "b" not in [line.split(" ")[0] for line in out.splitlines()]
    assert "over" not in out


@pytest.mark.parametrize(
    ("item", "said"),
    [
        pytest.param(5, "a job without a name can't be read: items: must hold InferenceJobs only", id="a number"),
        pytest.param({"kind": "InferenceJob"}, "a job without a name can't be read: metadata: is missing", id="empty"),
        pytest.param(
            job("x", phase="Dancing"), "team/x can't be read: status.phase: must be one of Pending", id="a phase"
        ),
        pytest.param(
            job("x", starts="noon"), "team/x can't be read: status.starts: must be a time such as", id="a time"
        ),
        pytest.param(
            job("x", plan=plan(1, windows=[{"deviceClass": "a"}])),
            "team/x can't be read: status.plan.windows[0].engine: is missing",
            id="half a window",
        ),
        pytest.param(job("x", gpus=10**12), "team/x can't be read: status: speaks of", id="more than there are"),
        pytest.param(
            job("x", plan=plan(1, groups=[group("a", -1)])),
            "team/x can't be read: status: speaks of",
            id="fewer than 0",
        ),
        pytest.param(
            {**job("x"), "metadata": {"name": "\x1b[31mx", "namespace": 5}},
            "\ufffd[31mx can't be read: metadata.namespace: must be a text",
            id="a name that paints the terminal",
        ),
    ],
)
def test_a_job_that_cannot_be_read_is_told_of_and_others_are_shown(show: Show, item: object, said: str) -> None:
    code, out, _ = show(items=[running("fine", gpus=1, from_s=0, to_s=60), item])
    assert code == 0
    assert "team/fine" in out
    assert said in " ".join(out.split())


def test_of_many_unreadable_jobs_a_few_are_named(show: Show) -> None:
    _, out, _ = show(items=[job(f"x{i}", gpus="many") for i in range(9)])
    assert out.count("can't be read: ") == 5
    assert "4 other jobs can't be read either." in out


@pytest.mark.parametrize("text", ["", "a: b", "[1]", '{"items": 3}', "[" * 100_000, '{"kind": "InferenceJob"}'])
def test_what_is_no_list_is_refused_with_what_to_give(show: Show, text: str) -> None:
    code, out, err = show(items=text)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert err.endswith("; give what `kubectl get infj -A -o json` prints\n")


def test_other_kinds_are_left_out(show: Show) -> None:
    _, out, _ = show("-o", "json", items=[{"kind": "Pod", "metadata": {"name": "x"}}, job("a")])
    assert [found["name"] for found in json.loads(out)["jobs"]] == ["a"]


def test_json_and_yaml_say_the_same_in_the_words_of_the_status(show: Show) -> None:
    later = reserved("later", ("a100", 2, 1800, 3600), deadline_s=4000, message="It waits.")
    over = refused("over", at_s=-60, message="Too early.")
    items: list[object] = [later, running("now", gpus=4, from_s=-600, to_s=1800), over, 5]
    code, out, err = show("-o", "json", items=items)
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert list(document) == ["now", "jobs", "over", "refused", "unreadable"]
    assert abs(parse_time_us(document["now"]) - parse_time_us(moment(0))) < 60_000_000
    now, waiting = document["jobs"]
    assert now["gpus"] == 4
    assert waiting == {
        "namespace": "team",
        "name": "later",
        "deadlineClass": "Hard",
        "phase": "Scheduled",
        "gpus": None,
        "deadlineTime": later["status"]["deadlineTime"],
        "starts": later["status"]["starts"],
        "ends": later["status"]["ends"],
        "windows": later["status"]["plan"]["windows"],
        "message": "It waits.",
    }
    assert document["over"] == {"Failed": 1}
    (refusal,) = document["refused"]
    assert refusal.pop("time") == over["status"]["conditions"][0]["lastTransitionTime"]
    assert refusal == {"namespace": "team", "name": "over", "message": "Too early."}
    assert document["unreadable"][0]["name"] == "a job without a name"
    _, as_yaml, _ = show("-o", "yaml", items=items)
    assert yaml.safe_load(as_yaml)["jobs"] == document["jobs"]


def test_the_page_shows_the_cluster(show: Show) -> None:
    code, out, err = show(
        "-o", "html", items=[running("now", gpus=4, from_s=-600, to_s=1800), reserved("later", ("l4", 2, 60, 600)), 5]
    )
    words = words_of(out)
    assert (code, err) == (0, "")
    assert "2 jobs in the cluster No job is late" in words
    assert "a100 · at most 4 devices by the jobs' statuses" in words
    assert "l4 · at most 2 devices by the jobs' statuses" in words
    assert "a job without a name can't be read" in words


def test_the_list_comes_from_standard_input(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(listed(job("a"))))
    assert main(["calendar", "-f", "-"]) == 0
    assert "team/a" in capsys.readouterr().out


@pytest.mark.parametrize("options", [["-f", "-"], ["-o", "json"]])
def test_watching_is_for_a_cluster_and_a_table(capsys: pytest.CaptureFixture[str], options: list[str]) -> None:
    assert main(["calendar", "--watch", *options]) == 2
    assert "--watch: shows a table of the cluster's jobs" in capsys.readouterr().err


class Stop(Exception):
    """Ends the watch."""


@pytest.mark.parametrize("is_terminal", [True, False])
def test_watching_draws_again_and_outlives_a_failure(is_terminal: bool) -> None:
    looks: list[ShownCalendar | DueByError] = [
        ShownCalendar(now_us=second * 1_000_000, jobs=(), pool=(), device="device", notes=(f"look {second}",))
        for second in (1, 3)
    ]
    looks.insert(1, DueByError("the server was refused"))
    pauses = iter([None, None, Stop()])

    def show() -> ShownCalendar:
        look = looks.pop(0)
        if isinstance(look, DueByError):
            raise look
        return look

    def pause() -> None:
        if ends := next(pauses):
            raise ends

    screen = io.StringIO()
    with pytest.raises(Stop):
        watch(show, Console(file=screen, force_terminal=is_terminal, width=80, height=20), pause=pause)
    drawn = screen.getvalue()
    seen = "look 1.*01Z.*look 1.*01Z[.].*the server was refused[.].*look 3.*03Z"
    assert re.search(seen, drawn, re.DOTALL)
    assert "refused" not in drawn.rpartition("look 3")[2]


def test_a_first_look_that_fails_ends_the_watch() -> None:
    def fail() -> ShownCalendar:
        raise DueByError("the server was refused")

    with pytest.raises(DueByError, match="refused"):
        watch(fail, Console(file=io.StringIO()), pause=lambda: None)
