"""The monitor's parts: its table of features, its readers, its schedule, its page of shared memory, and its files."""

import mmap
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_profiler.machine.nvml import State
from dueby_profiler.monitor.allocator import allocator_features, pick
from dueby_profiler.monitor.board import MISSING, Board, Notice, Phase, Writer
from dueby_profiler.monitor.columns import FEATURES, MOMENT
from dueby_profiler.monitor.features import HOST, Group, Kind, Source
from dueby_profiler.monitor.gpu_features import ALLOCATOR, GPU, STATISTICS
from dueby_profiler.monitor.handbook import handbook
from dueby_profiler.monitor.host import Host, Watched
from dueby_profiler.monitor.model_facts import weigh
from dueby_profiler.monitor.samples import Followed, Looks, rates_between
from dueby_profiler.monitor.sampling import sampling
from dueby_profiler.monitor.schedule import MIN_S, Schedule, affordable_period
from dueby_profiler.monitor.tables import ROWS_AT_A_TIME, SAMPLES, SampleFile, write_warmups

DOCUMENT = Path(__file__).parents[3] / "docs" / "monitor.md"


def test_the_document_is_the_table() -> None:
    assert handbook() == DOCUMENT.read_text(encoding="utf-8")


def test_every_feature_of_the_studys_monitor_is_there_once() -> None:
    studied = [feature.study for feature in FEATURES if feature.study]
    assert len(studied) == len(set(studied)) == 167
    by_source = {source: sum(bool(f.study) for f in FEATURES if f.source is source) for source in Source}
    assert by_source == {Source.PSUTIL: 27, Source.NVML: 14, Source.TORCH: 126}


def test_every_column_has_a_name_of_its_own_and_is_documented() -> None:
    names = [key.name for key in MOMENT] + [feature.name for feature in FEATURES]
    assert len(names) == len(set(names))
    assert all(feature.doc and feature.call for feature in FEATURES)
    counters = {feature.name for feature in FEATURES if feature.kind is Kind.COUNTER}
    assert {feature.of for feature in FEATURES if feature.kind is Kind.RATE} <= counters


def test_psutil_gives_every_feature_of_the_machine_and_of_a_process() -> None:
    host, process = Host(), Watched(os.getpid())
    levels, counters = process.read()
    found = host.levels().keys() | host.counters().keys() | levels.keys() | counters.keys()
    direct = {feature.name for feature in HOST if feature.kind is not Kind.RATE}
    assert direct - found <= {feature.name for feature in HOST if feature.group is Group.DISK}  # where there is none
    assert found <= direct
    assert levels["process_rss_bytes"] > 10_000_000


def test_the_machines_counters_begin_with_the_monitor() -> None:
    counters = Host().counters()
    assert all(0 <= value < 1e9 for value in counters.values())
    assert counters["cpu_busy_s"] < 60


def test_a_process_that_is_gone_reads_as_nothing() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = Watched(child.pid)
    assert process.read() != ({}, {})
    child.communicate(b"\n")
    assert process.read() == ({}, {})
    assert Watched(child.pid).read() == ({}, {})


def test_rates_are_of_counters_that_were_read_twice() -> None:
    before = {"disk_read_bytes": 1000.0, "process_cpu_s": 1.0}
    after = {"disk_read_bytes": 3000.0, "process_cpu_s": 1.5, "network_sent_bytes": 7.0}
    rates = rates_between(before, after, 500_000)
    assert rates == {"disk_read_bytes_per_s": 4000.0, "process_cpu_cores": 1.0}
    assert rates_between(before, after, None) == {}


@given(
    first_s=st.floats(0, 1e6),
    period_s=st.sampled_from([0.25, 0.5, 1.0, 2.0]),
    looks_s=st.lists(st.floats(0, 3), min_size=1, max_size=50),
)
def test_looks_keep_to_one_grid_however_long_they_take(first_s: float, period_s: float, looks_s: list[float]) -> None:
    schedule, number = Schedule(first_s=first_s, period_s=period_s), 0
    for look_s in looks_s:
        done_s = schedule.moment(number) + look_s - 0.001  # a wait may end a little early
        before, number = number, schedule.after(number, done_s)
        assert number > before
        assert schedule.moment(number) >= done_s - 1e-6
        assert (
            number == before + 1 or schedule.moment(number - 1) < done_s + 1e-6
        )  # none is left out that could be kept


@pytest.mark.parametrize(
    ("look_s", "period_s"),
    [
        pytest.param(0.0005, MIN_S, id="two slices"),
        pytest.param(0.0013, 0.5, id="twenty"),
        pytest.param(0.009, 2.0, id="128"),
    ],
)
def test_the_period_is_the_shortest_that_is_affordable(look_s: float, period_s: float) -> None:
    assert affordable_period(look_s) == period_s


def test_a_thread_looks_at_the_moments_and_stops_at_the_end() -> None:
    seen: list[float] = []

    def look() -> None:
        seen.append(time.monotonic())

    schedule = Schedule(first_s=time.monotonic(), period_s=0.01)
    with sampling(look, schedule, time.monotonic):
        wait_for(seen, 5)
    elapsed_s = [moment - schedule.first_s for moment in seen]
    # However late on a busy machine: the n-th look has had n moments to come after.
    assert all(elapsed >= 0.009 * number for number, elapsed in enumerate(elapsed_s, start=1))


def test_what_goes_wrong_in_the_thread_is_raised_where_it_was_started() -> None:
    tried: list[float] = []

    def look() -> None:
        tried.append(0.0)
        raise OSError("no space left on device")

    def watch() -> None:
        with sampling(look, Schedule(first_s=0.0, period_s=0.001), time.monotonic):
            wait_for(tried, 1)

    with pytest.raises(OSError, match="no space left"):
        watch()


def test_a_process_writes_what_it_does_and_another_reads_it() -> None:
    board = Board.new()
    script = f"""
from dueby_profiler.monitor.board import MISSING, Board, Phase, Writer
writer = Writer(Board({board.descriptor}), now_us=lambda: 77, read_statistics=lambda: [5, MISSING])
writer.enter(Phase.BUILDING, 8)
writer.read()
writer.enter(Phase.STEADY, 8)
writer.step(3, 78)
"""
    subprocess.run([sys.executable, "-c", script], pass_fds=[board.descriptor], check=True)
    notice = seen_on(board)
    board.close()
    assert (notice.phase, notice.size, notice.nth_size, notice.steps) == (Phase.STEADY, 8, 1, 3)
    assert (notice.began_us, notice.read_us, notice.statistics[:2]) == (77, 77, (5, MISSING))


def test_the_allocator_is_read_between_steps_and_not_oftener_than_it_is_looked_at() -> None:
    board, asked = Board.new(), list[int]()
    now_us = 0

    def read_statistics() -> Sequence[int]:
        asked.append(now_us)
        return [1]

    writer = Writer(board, now_us=lambda: now_us, read_statistics=read_statistics, every_us=1000)
    writer.read()
    for done in range(1, 31):
        now_us = 100 * done
        writer.step(done, now_us)
    board.close()
    assert asked == [0, 1000, 2000, 3000]


def test_a_process_without_a_gpu_is_asked_once_for_each_size() -> None:
    board, asked = Board.new(), list[int]()

    def read_statistics() -> None:
        asked.append(0)

    writer = Writer(board, now_us=lambda: 0, read_statistics=read_statistics, every_us=0)
    writer.read()
    for done in range(5):
        writer.step(done, 10 * done)
    notice = seen_on(board)
    board.close()
    assert (len(asked), notice.read_us) == (1, None)


def test_a_process_that_died_while_it_wrote_leaves_nothing_to_read() -> None:
    board = Board.new()
    page = mmap.mmap(board.descriptor, 8)
    page[0] = 1
    assert board.look() is None
    page.close()
    board.close()


def stats_of_torch() -> dict[str, object]:
    """As torch.cuda.memory_stats_as_nested_dict() gives them, one of each path, with some that are not ours."""
    nested: dict[str, object] = {"num_new_in_next_torch": 3, "reserved_bytes_by_private_pools": {(0, 1): {}}}
    for number, path in enumerate(STATISTICS):
        *folders, name = path.split(".")
        at = nested
        for folder in folders:
            at = at.setdefault(folder, {})  # type: ignore[assignment]
        at[name] = number
    return nested


def test_torchs_statistics_are_picked_from_all_that_it_has() -> None:
    assert pick(stats_of_torch()) == list(range(len(STATISTICS)))
    older = {name: value for name, value in stats_of_torch().items() if name != "num_sync_all_streams"}
    assert pick(older)[list(STATISTICS).index("num_sync_all_streams")] == MISSING


def test_every_feature_of_the_allocator_is_made() -> None:
    found = allocator_features([100] * len(STATISTICS))
    assert set(found) == {feature.name for feature in ALLOCATOR}
    assert found["torch_fragmentation"] == 1
    assert found["torch_rounding_bytes"] == 0


def test_a_ratio_over_nothing_and_a_statistic_that_is_missing_are_null() -> None:
    statistics = [0] * len(STATISTICS)
    statistics[list(STATISTICS).index("requested_bytes.all.current")] = MISSING
    found = allocator_features(statistics)
    missing = {feature.name for feature in ALLOCATOR} - found.keys()
    assert "torch_requested_bytes_all_current" in missing
    assert {"torch_fragmentation", "torch_segment_mean_bytes", "torch_rounding_bytes"} <= missing


def looks_at(board: Board, *, gpu: str | None = None, state: State | None = None) -> Looks:
    followed = Followed(slice=0, process=Watched(os.getpid()), gpu=gpu, board=board)
    return Looks(
        followed=[followed],
        host=Host(),
        ask_gpu=lambda uuid: state or State(values={}),
        clock=time.monotonic,
        facts={"device_class": "cpu-1", "engine": "eager", "round": 2},
    )


def test_a_row_says_when_of_what_and_has_rates_from_the_second_on() -> None:
    board = Board.new()
    writer = Writer(board, now_us=lambda: 5, read_statistics=lambda: None)
    writer.enter(Phase.WARMUP, 16)
    looks = looks_at(board)
    (first,), (second,) = looks.take(), looks.take()
    board.close()
    assert (second["device_class"], second["round"], second["slice"]) == ("cpu-1", 2, 0)
    assert (second["phase"], second["mini_batch_size"], second["phase_began_us"]) == ("warmup", 16, 5)
    assert second["since_previous_us"] == second["at_us"] - first["at_us"]
    assert "process_cpu_cores" not in first
    assert second["process_cpu_cores"] >= 0
    assert second.keys() <= set(SAMPLES.names)


def test_a_gpu_that_is_lost_leaves_nulls_and_is_remembered() -> None:
    board = Board.new()
    looks = looks_at(board, gpu="GPU-0", state=State(values={}, trouble="GPU is lost"))
    (row,) = looks.take()
    board.close()
    assert not {feature.name for feature in GPU} & row.keys()
    assert looks.troubles == {"GPU-0": "GPU is lost"}


def test_samples_are_written_in_groups_and_the_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "samples" / "x.parquet"
    file = SampleFile(path)
    for moment in range(ROWS_AT_A_TIME + 10):
        file.add([{"at_us": moment, "time": moment, "phase": "steady", "cpu_busy_s": 0.5}])
    assert not path.exists()
    assert file.close({"period_s": "0.25"}) == path
    found = pq.ParquetFile(path)
    assert [found.metadata.row_group(i).num_rows for i in range(found.num_row_groups)] == [ROWS_AT_A_TIME, 10]
    table = found.read()
    assert table.column("at_us").to_pylist() == list(range(ROWS_AT_A_TIME + 10))
    assert table.column("gpu_power_w").null_count == table.num_rows
    assert table.schema.field("disk_read_s").metadata[b"unit"] == b"s"
    assert found.metadata.metadata[b"period_s"] == b"0.25"


def test_a_file_that_is_dropped_leaves_nothing(tmp_path: Path) -> None:
    SampleFile(tmp_path / "x.parquet").drop()
    assert list(tmp_path.iterdir()) == []


def test_warmups_have_a_row_each(tmp_path: Path) -> None:
    path = write_warmups(tmp_path / "x.parquet", [{"warmup_us": 9, "model": "resnet18"}, {"warmup_us": 11}])
    assert pq.read_table(path).column("warmup_us").to_pylist() == [9, 11]


def test_a_model_is_weighed_without_its_weights() -> None:
    from dueby_api.inference_job import Model

    weight = weigh(Model(name="resnet18", weights="none"))
    assert weight.parameters == 11_689_512
    assert weight.image_flops == pytest.approx(2 * 1.814e9, rel=0.01)


def seen_on(board: Board) -> Notice:
    notice = board.look()
    assert notice is not None
    return notice


def wait_for(things: list[float], count: int, *, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while len(things) < count:
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)
