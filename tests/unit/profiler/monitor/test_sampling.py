"""When the monitor takes samples, in which thread, and what a sample's row holds."""

import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_profiler.machine.nvml import GpuState
from dueby_profiler.monitor.features.gpu_features import GPU
from dueby_profiler.monitor.journal import sampling
from dueby_profiler.monitor.readers.host import Host, WatchedProcess
from dueby_profiler.monitor.readers.status_page import Phase, StatusPage, StatusWriter
from dueby_profiler.monitor.sampler import SampledProcess, Sampler, compute_rates
from dueby_profiler.monitor.schedule import MIN_PERIOD_S, Schedule, affordable_period
from dueby_profiler.monitor.tables import SAMPLES


def test_rates_are_of_counters_that_were_read_twice() -> None:
    before = {"disk_read_bytes": 1000.0, "process_cpu_s": 1.0}
    after = {"disk_read_bytes": 3000.0, "process_cpu_s": 1.5, "network_sent_bytes": 7.0}
    rates = compute_rates(before, after, 500_000)
    assert rates == {"disk_read_bytes_per_s": 4000.0, "process_cpu_cores": 1.0}
    assert compute_rates(before, after, None) == {}


@given(
    first_s=st.floats(0, 1e6),
    period_s=st.sampled_from([0.25, 0.5, 1.0, 2.0]),
    samples_s=st.lists(st.floats(0, 3), min_size=1, max_size=50),
)
def test_samples_keep_to_one_grid_however_slow_they_are(
    first_s: float, period_s: float, samples_s: list[float]
) -> None:
    schedule, number = Schedule(first_s=first_s, period_s=period_s), 0
    for sample_s in samples_s:
        done_s = schedule.moment(number) + sample_s - 0.001  # a wait may end a little early
        before, number = number, schedule.after(number, done_s)
        assert number > before
        assert schedule.moment(number) >= done_s - 1e-6
        # No sample is left out for which there was time.
        assert number == before + 1 or schedule.moment(number - 1) < done_s + 1e-6


@pytest.mark.parametrize(
    ("sample_s", "period_s"),
    [
        pytest.param(0.0005, MIN_PERIOD_S, id="two slices"),
        pytest.param(0.0013, 0.5, id="twenty"),
        pytest.param(0.009, 2.0, id="128"),
    ],
)
def test_the_period_is_the_shortest_that_is_affordable(sample_s: float, period_s: float) -> None:
    assert affordable_period(sample_s) == period_s


def test_a_thread_samples_at_the_moments_and_stops_at_the_end() -> None:
    seen: list[float] = []

    def take() -> None:
        seen.append(time.monotonic())

    schedule = Schedule(first_s=time.monotonic(), period_s=0.01)
    with sampling(take, schedule, time.monotonic):
        wait_for(seen, 5)
    elapsed_s = [moment - schedule.first_s for moment in seen]
    # However late on a busy machine: the n-th sample comes after n moments.
    assert all(elapsed >= 0.009 * number for number, elapsed in enumerate(elapsed_s, start=1))


def test_an_error_in_the_thread_is_raised_where_it_was_started() -> None:
    tried: list[float] = []

    def take() -> None:
        tried.append(0.0)
        raise OSError("no space left on device")

    def watch() -> None:
        with sampling(take, Schedule(first_s=0.0, period_s=0.001), time.monotonic):
            wait_for(tried, 1)

    with pytest.raises(OSError, match="no space left"):
        watch()


def a_sampler(page: StatusPage, *, gpu: str | None = None, state: GpuState | None = None) -> Sampler:
    process = SampledProcess(slice=0, process=WatchedProcess(os.getpid()), gpu=gpu, status_page=page)
    return Sampler(
        processes=[process],
        host=Host(),
        read_gpu=lambda uuid: state or GpuState(values={}),
        clock=time.monotonic,
        facts={"device_class": "cpu-1", "engine": "eager", "round": 2},
    )


def test_a_row_has_time_process_and_phase_and_from_the_second_on_rates() -> None:
    page = StatusPage.new()
    writer = StatusWriter(page, now_us=lambda: 5, read_statistics=lambda: None)
    writer.enter(Phase.WARMUP, 16)
    sampler = a_sampler(page)
    (first,), (second,) = sampler.take(), sampler.take()
    page.close()
    assert (second["device_class"], second["round"], second["slice"]) == ("cpu-1", 2, 0)
    assert (second["phase"], second["mini_batch_size"], second["phase_began_us"]) == ("warmup", 16, 5)
    assert second["since_previous_us"] == second["at_us"] - first["at_us"]
    assert "process_cpu_cores" not in first
    assert second["process_cpu_cores"] >= 0
    assert second.keys() <= set(SAMPLES.names)


def test_a_lost_gpu_leaves_nulls_and_its_problem_is_kept() -> None:
    page = StatusPage.new()
    sampler = a_sampler(page, gpu="GPU-0", state=GpuState(values={}, problem="GPU is lost"))
    (row,) = sampler.take()
    page.close()
    assert not {feature.name for feature in GPU} & row.keys()
    assert sampler.problems == {"GPU-0": "GPU is lost"}


def wait_for(things: list[float], count: int, *, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while len(things) < count:
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)
