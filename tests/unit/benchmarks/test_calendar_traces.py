"""The simulated cluster of benchmarks/calendar_traces.py, and each of its policies on a case that is made by hand."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from calendar_traces import POLICIES, at_load, least_us, load_of, read_trace, summary
from calendar_traces_cluster import LATENCY_US, MINI_BATCH, START_US, Cluster, Job, Noise, Policy, TraceJob, simulate
from calendar_traces_dueby import EPOCH_US, DueBy, worker_seen
from calendar_traces_elasticflow import ElasticFlow, without
from calendar_traces_peers import AloneByDeadline, Fifo, Preempting
from support.source_tree import REPOSITORY
from support.traces import QUIET, SECOND, job

DATA = REPOSITORY / "benchmarks" / "data"


def ended_s(jobs: Sequence[TraceJob], policy: Policy, *, gpus: int) -> dict[str, int | None]:
    """When each job ended, by name; None if it was refused. Nothing differs from what is expected."""
    over = simulate(jobs, policy, gpus=gpus, noise=QUIET, seed=1)
    return {one.asked.name: None if one.ended_us is None else one.ended_us // SECOND for one in over}


def mixed_jobs() -> list[TraceJob]:
    return [
        job(f"job-{i}", 3000 + 700 * i, at_s=400 * i, deadline_s=400 * i + 5000 + 300 * i, gpus=1 + i % 4)
        for i in range(12)
    ]


@pytest.mark.parametrize("name", POLICIES)
def test_every_image_is_done_once_in_the_time_that_its_worker_takes(name: str) -> None:
    noise = Noise()
    over = simulate(mixed_jobs(), POLICIES[name](noise), gpus=8, noise=noise, seed=3)
    assert sorted(one.asked.name for one in over) == sorted(one.name for one in mixed_jobs())
    ran = [one for one in over if not one.is_refused]
    assert ran
    for one in ran:
        assert one.is_complete
        if any(worker.state == "stopped" for worker in one.workers):
            continue  # what these had open was done again
        worked = [worker for worker in one.workers if worker.taken]
        assert sum(worker.taken for worker in worked) == one.asked.images
        for worker in worked:
            mini_batches = -(-worker.taken // MINI_BATCH)
            assert worker.commit_us == worker.first_us + (mini_batches - 1) * worker.step_us
            assert worker.commit_us <= (one.ended_us or 0)
        # Nobody holds a GPU for longer than it works, except who has started when there is nothing left to do.
        assert one.held_us >= sum(worker.commit_us - worker.created_us for worker in worked)
        if len(worked) == len(one.workers):
            assert one.held_us == sum(worker.commit_us - worker.created_us for worker in worked)


@pytest.mark.parametrize("name", POLICIES)
def test_the_same_seed_gives_the_same_run(name: str) -> None:
    first, same, other = (
        [one.ended_us for one in simulate(mixed_jobs()[:4], POLICIES[name](Noise()), gpus=8, noise=Noise(), seed=seed)]
        for seed in (3, 3, 4)
    )
    assert first == same
    assert first != other


@pytest.mark.parametrize(
    ("saves", "ends_s"),
    [pytest.param(False, 60 + 199 + 60 + 999, id="lost"), pytest.param(True, 60 + 199 + 60 + 799, id="saved")],
)
def test_what_a_stopped_worker_had_open_is_done_again_unless_it_was_saved(saves: bool, ends_s: int) -> None:
    cluster = Cluster(gpus=1, noise=QUIET, seed=1)
    one = Job(asked=job("a", 1000, deadline_s=9999))
    cluster.jobs.append(one)
    cluster.start(one, 1, part_size=1000 * MINI_BATCH)
    cluster.advance(START_US + 199 * SECOND)
    assert one.images_left(cluster.now_us) == 800 * MINI_BATCH
    cluster.stop(one, one.alive[0], saves=saves)
    assert one.images_left(cluster.now_us) == (800 if saves else 1000) * MINI_BATCH
    assert cluster.free == 1
    cluster.start(one, 1)
    cluster.advance(None)
    assert one.ended_us == ends_s * SECOND
    assert one.stops == 1


def test_no_gpu_is_given_twice() -> None:
    cluster = Cluster(gpus=2, noise=QUIET, seed=1)
    one = Job(asked=job("a", 1000, deadline_s=9999))
    cluster.start(one, 2)
    with pytest.raises(ValueError, match="1 workers of a on 0 free GPUs"):
        cluster.start(one, 1)


def test_a_job_that_nobody_starts_is_an_error_and_no_endless_loop() -> None:
    class Nobody:
        def act(self, cluster: Cluster, arrived: Sequence[Job]) -> None:
            return None

    with pytest.raises(RuntimeError, match="1 jobs wait"):
        simulate([job("a", 100, deadline_s=999)], Nobody(), gpus=1, noise=QUIET, seed=1)


# ---- the policies, on jobs whose end can be counted on fingers: a start is 60 s, with the first second of work in it


def test_fifo_holds_up_all_jobs_behind_one_that_does_not_fit() -> None:
    jobs = [
        job("first", 1001, deadline_s=9999),
        job("wide", 2002, at_s=1, deadline_s=9999, gpus=2),
        job("narrow", 101, at_s=2, deadline_s=9999),
    ]
    assert ended_s(jobs, Fifo(), gpus=2) == {"first": 1060, "wide": 1060 + 1060, "narrow": 1060 + 1060 + 160}


def test_preemption_evicts_later_deadlines_and_what_they_saved_is_not_done_again() -> None:
    jobs = [job("late", 2002, deadline_s=9999, gpus=2), job("urgent", 101, at_s=560, deadline_s=800)]
    # `late` has done 501 s of work on each GPU by then, and does 500 more when both GPUs are free.
    assert ended_s(jobs, Preempting(), gpus=2) == {"urgent": 560 + 160, "late": 720 + 559}


def test_preemption_evicts_nobody_for_a_job_that_would_not_fit_even_then() -> None:
    jobs = [job("urgent", 1001, deadline_s=2000), job("wide", 202, at_s=100, deadline_s=3000, gpus=2)]
    assert ended_s(jobs, Preempting(), gpus=2) == {"urgent": 1060, "wide": 1060 + 160}


def test_a_job_alone_gets_the_fewest_gpus_and_keeps_none_for_one_that_waits() -> None:
    jobs = [
        job("first", 1001, deadline_s=1200),
        # It needs both GPUs, and `later` takes the one that is free.
        job("second", 2800, at_s=1, deadline_s=2500),
        job("later", 3001, at_s=2, deadline_s=9999),
        job("impossible", 5000, at_s=3, deadline_s=1003),
    ]
    ended = ended_s(jobs, AloneByDeadline(QUIET), gpus=2)
    assert ended["impossible"] is None
    assert ended["first"] == 1060
    assert ended["later"] == 2 + 3060
    assert (ended["second"] or 0) > 2500


def test_elasticflow_refuses_a_job_beside_which_the_others_would_have_no_share() -> None:
    jobs = [job("first", 900, deadline_s=1000), job("second", 500, at_s=10, deadline_s=1100)]
    assert ended_s(jobs, ElasticFlow(knows_starts=True), gpus=1) == {"first": 959, "second": None}


@pytest.mark.parametrize(("knows_starts", "ends_s"), [pytest.param(True, None), pytest.param(False, 1009)])
def test_elasticflow_promises_what_starts_make_impossible_unless_it_knows_them(
    knows_starts: bool, ends_s: int | None
) -> None:
    assert ended_s([job("a", 950, deadline_s=1000)], ElasticFlow(knows_starts=knows_starts), gpus=1) == {"a": ends_s}


def test_a_late_job_keeps_its_gpus() -> None:
    cluster, policy = Cluster(gpus=3, noise=QUIET, seed=1), ElasticFlow(knows_starts=True)
    late, other = Job(asked=job("late", 1400, deadline_s=600)), Job(asked=job("other", 1000, deadline_s=9999))
    cluster.jobs.append(late)
    policy.act(cluster, [late])
    assert len(late.alive) == 3
    cluster.now_us = 590 * SECOND
    for worker in late.alive:
        worker.step_us = 2 * LATENCY_US
    cluster.jobs.append(other)
    policy.act(cluster, [other])
    assert (len(late.alive), len(other.alive)) == (3, 0)


def test_the_minimum_share_is_more_where_the_jobs_before_leave_more() -> None:
    cluster = Cluster(gpus=3, noise=QUIET, seed=1)
    first, second = Job(asked=job("first", 2000, deadline_s=1000)), Job(asked=job("second", 4000, deadline_s=2000))
    shares = ElasticFlow(knows_starts=False).shares([second, first], cluster)
    # Two GPUs for 1,000 s; then one until then and three later, which are 4,000 s of GPU time.
    assert shares == {"first": 2, "second": 1}
    assert without([(0, 3)], [(0, 2), (1000, 0)]) == [(0, 1), (1000, 3)]
    assert without([(0, 1), (1000, 3)], [(0, 1), (1000, 2), (1500, 0)]) == [(0, 0), (1000, 1), (1500, 3)]


def test_dueby_starts_what_is_possible_waits_for_gpus_and_refuses_what_is_impossible() -> None:
    jobs = [
        job("first", 1001, deadline_s=1200),
        job("second", 1001, at_s=10, deadline_s=4000),
        job("impossible", 5000, at_s=20, deadline_s=1020),
    ]
    ended = ended_s(jobs, DueBy(QUIET), gpus=1)
    assert ended["first"] == 1060
    assert 2 * 1060 <= (ended["second"] or 0) <= 2 * 1060 + 60
    assert ended["impossible"] is None


def test_dueby_helps_a_job_whose_worker_is_slow() -> None:
    asked = job("slow", 3000, deadline_s=3300)
    noise = Noise(rate=0.2, start=0.0)

    def fate(seed: int) -> Job:
        (one,) = simulate([asked], DueBy(QUIET), gpus=4, noise=noise, seed=seed)
        return one

    slow = next(one for seed in range(50) if (one := fate(seed)).workers[0].step_us > 1.1 * LATENCY_US)
    assert len(slow.workers) > 1
    assert slow.ended_us is not None
    assert slow.ended_us <= asked.deadline_us


def test_dueby_sees_the_pace_that_a_worker_has_shown() -> None:
    policy, cluster = DueBy(QUIET), Cluster(gpus=1, noise=QUIET, seed=1)
    one = Job(asked=job("a", 1000, deadline_s=2000))
    cluster.jobs.append(one)
    policy.act(cluster, [one])
    (assigned,) = policy.assignments["a"]
    one.workers[0].step_us = 2 * LATENCY_US
    starting = worker_seen(one.workers[0], assigned, START_US - 1)
    assert (starting.state, starting.batches, starting.step_us, starting.last_step_us) == ("starting", 0, None, None)
    running = worker_seen(one.workers[0], assigned, START_US + 5 * SECOND)
    assert (running.state, running.batches, running.step_us) == ("running", 3, 2 * LATENCY_US)
    assert running.last_step_us == EPOCH_US + START_US + 4 * SECOND


# ---- traces and tables


def test_the_traces_are_read_as_they_are() -> None:
    jobs = read_trace(DATA / "elasticflow-cluster02.csv.gz")
    assert len(jobs) == 2000
    assert jobs[0] == job("job-00000", 1265, at_s=5010, deadline_s=5985)
    assert all(one.submitted_us < one.deadline_us and one.images for one in jobs)


def test_another_load_changes_the_times_between_jobs_alone() -> None:
    jobs = mixed_jobs()
    moved = at_load(jobs, 0.8, gpus=16)
    assert load_of(moved, gpus=16) == pytest.approx(0.8, rel=1e-6)
    assert [m.deadline_us - m.submitted_us for m in moved] == [j.deadline_us - j.submitted_us for j in jobs]
    assert [m.images for m in moved] == [j.images for j in jobs]


def test_the_least_gpu_time_has_one_start_on_each_of_the_fewest_gpus() -> None:
    # One GPU does 941 s of work by then, and two do twice that.
    assert least_us(job("a", 941, deadline_s=1000)) == (941 + 59) * SECOND
    assert least_us(job("a", 942, deadline_s=1000)) == (942 + 2 * 59) * SECOND


def test_a_late_job_is_not_in_time_and_a_refused_one_is_neither() -> None:
    jobs = [job("late", 1001, deadline_s=1000), job("good", 1001, deadline_s=1060)]
    over = simulate(jobs, Fifo(), gpus=2, noise=QUIET, seed=1)
    refused = Job(asked=job("refused", 1, deadline_s=1), is_refused=True)
    assert summary([*over, refused]) == {
        "inTime": 1,
        "late": 1,
        "refused": 1,
        "gpuTime": pytest.approx((1060 + 1060) / (1001 + 2 * 59 + 1060), abs=1e-4),
        "gpuTimeOfAJob": pytest.approx((1060 / (1001 + 2 * 59) + 1) / 2, abs=1e-4),
        "stops": 0,
        "starts": pytest.approx(2 / 3, abs=1e-3),
    }


def test_the_command_compares_all_policies_on_a_trace(tmp_path: Path) -> None:
    trace, result = tmp_path / "trace.csv", tmp_path / "result.json"
    rows = [f"{100 * i},{100 * i + 2000},{1 + i % 2},{1000 + i}" for i in range(6)]
    trace.write_text("\n".join(["submitted_s,deadline_s,gpus,gpu_seconds", *rows]))
    script = REPOSITORY / "benchmarks" / "calendar_traces.py"
    words = ["--trace", str(trace), "--gpus", "4", "--jobs", "5", "--output", str(result)]
    done = subprocess.run([sys.executable, script, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "trace.csv: 5 jobs on 4 GPUs" in done.stdout
    (run,) = json.loads(result.read_text())["runs"]
    assert [row["policy"] for row in run["policies"]] == list(POLICIES)
    assert all(row["inTime"] + row["late"] + row["refused"] == 5 for row in run["policies"])
