"""Several jobs in one loop: who has which slice when, and how each ends. Workers sleep, and the clock is the test's."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from dueby.local.loop import Loop, Seams
from dueby.local.running_job import LocalJob
from dueby.local.this_machine import NO_DEVICES
from dueby_api.errors import Invalid
from dueby_api.parts import parts_of_runs
from support.local_machine import NOW, LocalMachine

# What two slices of 80 images a second do in a minute, less their start.
MINUTE = 9_000


@pytest.fixture
def machine(tmp_path: Path) -> LocalMachine:
    return LocalMachine(folder=tmp_path)


def test_jobs_that_fit_beside_each_other_have_a_slice_each(machine: LocalMachine) -> None:
    machine.add("one", images=2_000, deadline="60s")
    machine.add("two", images=2_000, deadline="60s", deadlineClass="Hard")
    machine.run()
    assert {name: end.ended for name, end in machine.ends.items()} == {"one": "Complete", "two": "Complete"}
    assert max(machine.ended_s("one"), machine.ended_s("two")) <= 35
    assert len({process.slot.name for process in machine.on_machine}) == 2


def test_nothing_is_decided_before_a_job_is_there_where_there_may_be_no_devices_either() -> None:
    coming: list[list[LocalJob] | None] = [[], [], None]

    def unexpected(*_: object) -> None:
        raise AssertionError

    seams = Seams(
        arrived=lambda _: coming.pop(0),
        ended=unexpected,
        show=unexpected,
        now_us=lambda: NOW,
        sleep_s=unexpected,
    )
    Loop(NO_DEVICES, seams).run()
    assert not coming


def test_a_relaxed_job_gives_way_to_a_hard_one_and_goes_on_afterwards(machine: LocalMachine) -> None:
    machine.add("relaxed", images=20_000, deadline="140s", deadlineClass="Relaxed")
    machine.add("hard", images=3_000, comes_after_s=20, deadline="75s", deadlineClass="Hard")
    machine.run()
    assert machine.ended_s("hard") <= 75
    assert "relaxed: Other jobs need the devices: 2 to 1 worker" in machine.said
    assert machine.ends["relaxed"].ended == "Complete"
    assert machine.ended_s("relaxed") < 250


def test_a_job_that_is_promised_a_later_window_waits_and_is_in_time(machine: LocalMachine) -> None:
    machine.add("first", images=MINUTE, deadline="70s", deadlineClass="Hard")
    machine.add("second", images=MINUTE, deadline="160s", deadlineClass="Hard")
    machine.run()
    phases = [status.status.phase for shown in machine.shown for status in shown if status.name == "second"]
    assert phases[0] == "Scheduled"
    assert machine.ended_s("first") <= 70
    assert machine.ended_s("second") <= 160


def test_a_hard_job_that_does_not_fit_is_refused_and_the_others_go_on(machine: LocalMachine) -> None:
    machine.add("first", images=MINUTE, deadline="70s", deadlineClass="Hard")
    machine.add("second", images=MINUTE, deadline="80s", deadlineClass="Hard")
    machine.run()
    assert machine.ends["first"].ended == "Complete"
    assert machine.ends["second"].ended == "Refused"
    assert "first" in machine.ends["second"].sentence
    assert machine.ends["second"].verdict is None


@pytest.mark.parametrize("gpus", [{"reserve": 2}, {"maxIterations": 1}], ids=["reserve", "iterations"])
@pytest.mark.parametrize("deadline_class", ["Soft", "Relaxed", "BestEffort"])
def test_what_no_deadline_is_long_enough_for_is_refused_and_does_not_wait(
    machine: LocalMachine, gpus: dict[str, int], deadline_class: str
) -> None:
    for name in ("one", "two"):
        machine.add(name, images=2_000, deadline="60s", deadlineClass=deadline_class, gpus=gpus)

    def give_up() -> None:
        assert not machine.is_after(10)

    machine.run(each_time=give_up)
    assert {name: end.ended for name, end in machine.ends.items()} == {"one": "Refused", "two": "Refused"}
    verdict = machine.ends["one"].verdict
    assert verdict is not None
    assert verdict.infeasible is not None
    assert verdict.infeasible.alternatives.earliest_us is None


def test_what_is_wrong_with_one_job_ends_that_one_alone(machine: LocalMachine) -> None:
    machine.add("sound", images=4_000, deadline="120s")
    wrong = machine.add("wrong", images=4_000, deadline="120s")

    def spoil() -> None:
        if wrong.processes.started:
            wrong.processes.fault = Invalid("spec.model", "has no such layer")  # type: ignore[attr-defined]

    machine.run(each_time=spoil)
    assert machine.ends["wrong"].ended == "Failed"
    assert isinstance(machine.ends["wrong"].error, Invalid)
    assert machine.ends["sound"].ended == "Complete"


def test_a_job_that_is_indexed_late_takes_what_others_have_left(machine: LocalMachine) -> None:
    machine.add("early", images=2_000, deadline="60s")
    machine.add("late", images=2_000, comes_after_s=90, deadline="200s")
    machine.run()
    assert machine.ended_s("early") <= 60
    assert 90 < machine.ended_s("late") <= 200


def test_an_edit_that_makes_a_job_hard_takes_the_slice_of_another(tmp_path: Path) -> None:
    machine = LocalMachine(folder=tmp_path, slices=1)
    machine.add("long", images=20_000, deadline="1h", deadlineClass="Relaxed")
    machine.add("short", images=400, deadline="2h", deadlineClass="BestEffort")
    machine.edit("short", after_s=20, images=400, deadline="40s", deadlineClass="Hard")
    machine.run()
    phases = [
        status.status.phase
        for shown in machine.shown
        for status in shown
        if status.name == "short" and status.model.spec.deadline_class == "Hard"
    ]
    assert "Queued" not in phases  # also while the other's worker is on its way out
    assert machine.ended_s("short") <= 40
    assert "long: Other jobs need the devices: 1 to 0 workers" in machine.said
    assert machine.ends["long"].ended == "Complete"


def test_parts_that_another_run_puts_into_the_sink_count(machine: LocalMachine) -> None:
    job = machine.add("one", images=2_000, deadline="1h")
    # Its own worker commits nothing, as it does what the other run has just done.
    job.processes.is_idle = True  # type: ignore[attr-defined]
    there = {False: parts_of_runs([]), True: parts_of_runs([(0, 3)])}
    seen = partial(machine.is_after, 5)
    job.seams = replace(job.seams, parts_there=lambda images, part_size: there[seen()])

    def interrupt() -> None:
        if machine.is_after(20):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        machine.run(each_time=interrupt)
    assert job.job.status.plan is not None
    done = [status.model.images_done for shown in machine.shown for status in shown]
    assert (done[0], done[-1]) == (0, 3 * job.job.status.plan.part_size)


def test_whatever_stops_the_loop_no_worker_is_left(machine: LocalMachine) -> None:
    machine.add("one", images=MINUTE, deadline="60s")
    machine.add("two", images=MINUTE, deadline="600s")

    def interrupt() -> None:
        if len(machine.on_machine) >= 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        machine.run(each_time=interrupt)
    assert machine.on_machine
    assert all(process.process.poll() is not None for process in machine.on_machine)
    assert {process.state for process in machine.on_machine} == {"stopped"}
    assert not machine.ends
