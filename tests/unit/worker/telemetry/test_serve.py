"""What a worker's pages show, and when it reports that it is stuck."""

import json
import urllib.request
from pathlib import Path
from urllib.error import HTTPError

import pytest

from dueby_api.errors import Invalid, Transient
from dueby_api.grid import Share
from dueby_api.schema import decode
from dueby_api.step_messages import MAX_STORE_ERROR, ParityCheck, SinkParts, StoreWait, WorkerProgress
from dueby_worker.telemetry.progress import SLOW_S, ProgressTracker, StepStatistics
from dueby_worker.telemetry.serve import serve_progress


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def a_progress(clock: Clock | None = None) -> ProgressTracker:
    clock = clock or Clock()
    return ProgressTracker(worker="w0", share=Share(first=4, end=8), clock=clock, wall_clock=clock)


def a_running_progress(clock: Clock | None = None, *, step_us: int = 100_000) -> ProgressTracker:
    progress = a_progress(clock)
    progress.end_start_part("import", 400_000)
    progress.end_start_part("load", 2_400_000)
    progress.start_first_batch(2_500_000)
    progress.enter("warming")
    for _ in range(4):
        progress.add_step(step_us=step_us, model_us=step_us * 9 // 10, images=32, input_us=step_us // 20)
        progress.add_rows(images=32, failed=1)
    progress.enter("running")
    progress.add_committed_part()
    return progress


@pytest.fixture
def ask(tmp_path: Path):  # type: ignore[no-untyped-def]
    """Ask the progress's server for a page."""

    def get(progress: ProgressTracker, path: str) -> tuple[int, str]:
        serve_progress(progress, host="127.0.0.1", port=0, port_file=tmp_path / "port")
        url = f"http://127.0.0.1:{(tmp_path / 'port').read_text()}{path}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()

    return get


def test_progress_is_what_a_backend_reads(ask) -> None:  # type: ignore[no-untyped-def]
    status, body = ask(a_running_progress(), "/progress")
    assert status == 200
    assert json.loads(body) == {
        "worker": "w0",
        "state": "running",
        "imagesDone": 128,
        "imagesFailed": 4,
        "partsCommitted": 1,
        "partsDoubled": 0,
        "batches": 4,
        "share": [4, 8],
        "nextPart": 4,
        "stepMicros": 100_000,
        "stepMicrosMean": 100_000,
        "modelMicros": 90_000,
        "modelMicrosMean": 90_000,
        "warmupMicros": 100_000,
        "startupMicros": 2_500_000,
        "startParts": {"import": 400_000, "load": 2_000_000, "images": 100_000},
        "imagesPerSecond": 320.0,
        "secondsSinceBatch": 0.0,
        "waitsFor": None,
        "inputWait": 0.05,
        "observedRequestsPerSecond": None,
        "leaving": False,
        "parity": None,
    }


@pytest.mark.parametrize(
    ("progress", "parity"),
    [
        pytest.param(a_progress(), None, id="while it starts"),
        pytest.param(
            a_running_progress(),
            ParityCheck(max_difference=1e-5, same_top1=0.75, ok=True, sentence="agrees"),
            id="while it runs",
        ),
        pytest.param(
            a_running_progress(),
            ParityCheck(max_difference=None, same_top1=1.0, ok=False, sentence="DISAGREES"),
            id="with a difference that is no number",
        ),
    ],
)
def test_the_readers_of_progress_get_what_the_worker_counted(  # type: ignore[no-untyped-def]
    ask, progress: ProgressTracker, parity: ParityCheck | None
) -> None:
    progress.parity = parity
    assert decode(WorkerProgress, ask(progress, "/progress")[1]) == progress.report()


def test_a_worker_says_what_it_waits_for_and_for_how_long(ask) -> None:  # type: ignore[no-untyped-def]
    clock, call = Clock(), object()
    progress = a_running_progress(clock)
    later = object()
    for each, failure, at_s in ((call, "no space left on device", 0), (later, "it is late", 30)):
        progress.sink_waits.begin(each, at_s=clock.now_s + at_s)
        progress.sink_waits.fail(each, Transient(failure))
    clock.now_s += 40
    said = json.loads(ask(progress, "/progress")[1])["waitsFor"]
    assert said == {"store": "sink", "error": "no space left on device", "seconds": 40.0}
    page = ask(progress, "/metrics")[1].splitlines()
    assert 'dueby_worker_store_wait_seconds{store="sink"} 40.0' in page
    assert 'dueby_worker_store_wait_seconds{store="source"} 0.0' in page
    progress.sink_waits.end(call)
    said = json.loads(ask(progress, "/progress")[1])["waitsFor"]
    assert said == {"store": "sink", "error": "it is late", "seconds": 10.0}


def test_a_worker_that_does_mini_batches_is_not_held_up_by_its_source() -> None:
    clock = Clock()
    progress = a_progress(clock)
    call = object()
    progress.source_waits.begin(call, at_s=clock.now_s)
    progress.source_waits.fail(call, Transient("input/output error"))
    clock.now_s += 20
    assert progress.waits_for == StoreWait(store="source", error="input/output error", seconds=20)
    progress.add_step(step_us=100_000, model_us=90_000, images=32)
    clock.now_s += 1
    assert progress.waits_for == StoreWait(store="source", error="input/output error", seconds=1)


def test_a_store_that_never_answers_is_waited_for_though_nothing_has_failed_yet() -> None:
    clock = Clock()
    progress = a_progress(clock)
    progress.sink_waits.begin(object(), at_s=clock.now_s)
    clock.now_s += SLOW_S - 1
    assert progress.waits_for is None
    clock.now_s += 1
    assert progress.waits_for == StoreWait(store="sink", error="", seconds=SLOW_S)


def test_of_a_store_s_words_only_so_many_are_passed_on(ask) -> None:  # type: ignore[no-untyped-def]
    progress = a_progress()
    call = object()
    progress.sink_waits.begin(call, at_s=0)
    progress.sink_waits.fail(call, Transient("a" * 10_000))
    found = decode(WorkerProgress, ask(progress, "/progress")[1])
    assert found.waits_for is not None
    assert len(found.waits_for.error) == MAX_STORE_ERROR


def test_parts_are_what_the_operator_reads(ask) -> None:  # type: ignore[no-untyped-def]
    progress = a_running_progress()
    assert ask(progress, "/parts") == (503, "running")
    progress.list_parts = lambda: [(0, 3), (5, 6)]
    status, body = ask(progress, "/parts")
    assert status == 200
    assert json.loads(body) == {"runs": [[0, 3], [5, 6]]}
    assert decode(SinkParts, body) == SinkParts(runs=((0, 3), (5, 6)))


def test_a_worker_that_starts_shows_no_numbers_that_it_does_not_have(ask) -> None:  # type: ignore[no-untyped-def]
    status, body = ask(a_progress(), "/progress?x=1")
    assert status == 200
    seen = json.loads(body)
    assert (seen["state"], seen["batches"], seen["stepMicros"], seen["imagesPerSecond"]) == ("starting", 0, None, None)


def test_metrics_are_prometheus_s(ask) -> None:  # type: ignore[no-untyped-def]
    from prometheus_client.parser import text_string_to_metric_families

    progress = a_running_progress()
    progress.add_step(step_us=400_000, model_us=1, images=3)
    status, body = ask(progress, "/metrics")
    assert status == 200
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
    }
    assert samples["dueby_worker_images_total",] == 128
    assert samples["dueby_worker_images_failed",] == 4
    assert samples["dueby_worker_parts_committed_total",] == 1
    assert samples["dueby_worker_step_seconds_bucket", "0.05"] == 0
    assert samples["dueby_worker_step_seconds_bucket", "0.1"] == 3
    assert samples["dueby_worker_step_seconds_bucket", "+Inf"] == 4
    assert samples["dueby_worker_step_seconds_count",] == 4
    assert samples["dueby_worker_step_seconds_sum",] == pytest.approx(0.7)
    assert samples["dueby_worker_state", "running"] == 1
    assert samples["dueby_worker_state", "tails"] == 0


@pytest.mark.parametrize(
    ("progress", "status"),
    [
        pytest.param(a_progress(), 503, id="not while it starts"),
        pytest.param(a_running_progress(), 200, id="when the first mini-batch is over"),
    ],
)
def test_a_worker_is_ready_when_warm(ask, progress: ProgressTracker, status: int) -> None:  # type: ignore[no-untyped-def]
    assert ask(progress, "/readyz")[0] == status


def test_there_is_nothing_else(ask) -> None:  # type: ignore[no-untyped-def]
    assert ask(a_progress(), "/../etc/passwd")[0] == 404


def test_the_age_of_the_last_mini_batch_is_no_matter_of_the_node_s_time_of_day(ask) -> None:  # type: ignore[no-untyped-def]
    clock, time_of_day = Clock(), Clock()
    progress = ProgressTracker(worker="w0", share=Share(first=4, end=8), clock=clock, wall_clock=time_of_day)
    assert "\ndueby_worker_last_batch_age_seconds" not in ask(progress, "/metrics")[1]
    progress.add_step(step_us=100_000, model_us=90_000, images=32)
    clock.now_s += 2.5
    time_of_day.now_s -= 90
    assert json.loads(ask(progress, "/progress")[1])["secondsSinceBatch"] == 2.5
    page = ask(progress, "/metrics")[1].splitlines()
    assert "dueby_worker_last_batch_age_seconds 2.5" in page
    assert "dueby_worker_last_batch_timestamp_seconds 1000.0" in page


def test_a_stuck_worker_is_not_healthy_and_says_why(ask) -> None:  # type: ignore[no-untyped-def]
    clock = Clock()
    progress = a_running_progress(clock)
    progress.is_computing = True
    assert ask(progress, "/healthz") == (200, "ok")
    clock.now_s += 200
    assert ask(progress, "/healthz") == (503, "no mini-batch for 200 s")


@pytest.mark.parametrize(
    ("state", "is_computing", "step_us", "silent_s", "stuck"),
    [
        pytest.param("starting", False, None, 800, False, id="a model may take minutes to load"),
        pytest.param("starting", False, None, 1000, True, id="but not a quarter of an hour"),
        pytest.param("warming", True, None, 800, False, id="the first mini-batch may compile"),
        pytest.param("running", True, 100_000, 100, False, id="a machine may stall for a while"),
        pytest.param("running", True, 100_000, 130, True, id="a mini-batch of 0.1 s takes no two minutes"),
        pytest.param("running", True, 30_000_000, 290, False, id="one of 30 s may"),
        pytest.param("running", True, 30_000_000, 310, True, id="though not five"),
        pytest.param("tails", False, 100_000, 800, False, id="a store may stay away for ten minutes"),
        pytest.param("done", False, 100_000, 10_000, False, id="who is done is not stuck"),
        pytest.param("spent", False, 100_000, 10_000, False, id="nor is who may run no more"),
    ],
)
def test_a_worker_is_stuck_when(
    state: str, is_computing: bool, step_us: int | None, silent_s: float, stuck: bool
) -> None:
    clock = Clock()
    progress = a_running_progress(clock, step_us=step_us) if step_us else a_progress(clock)
    progress.enter(state)  # type: ignore[arg-type]
    progress.is_computing = is_computing
    clock.now_s += silent_s
    assert (progress.why_stuck() is not None) == stuck


def test_a_worker_without_a_mini_batch_to_run_is_ready_when_it_has_ended(ask) -> None:  # type: ignore[no-untyped-def]
    progress = a_progress()
    progress.enter("spent")
    assert ask(progress, "/readyz") == (200, "ok")


def test_a_state_is_never_left_for_an_earlier_one() -> None:
    progress = a_running_progress()
    progress.enter("tails")
    progress.enter("running")
    assert progress.state == "tails"


def test_a_port_that_is_taken_is_said_to_be() -> None:
    port = serve_progress(a_progress(), host="127.0.0.1", port=0, port_file=None)
    with pytest.raises(Invalid, match=f"port: can't listen on 127.0.0.1, port {port}: Address already in use"):
        serve_progress(a_progress(), host="127.0.0.1", port=port, port_file=None)


def test_steps_are_averaged_over_the_recent_ones_and_on_the_whole_without_the_warm_up() -> None:
    steps = StepStatistics()
    steps.add(step_us=9_000_000, model_us=9_000_000, images=32)
    for _ in range(50):
        steps.add(step_us=100_000, model_us=90_000, images=32)
    for _ in range(50):
        steps.add(step_us=200_000, model_us=90_000, images=32)
    assert (steps.warmup_us, steps.count) == (9_000_000, 100)
    assert (steps.recent_us, steps.recent_model_us, steps.mean_us) == (200_000, 90_000, 150_000)
    assert steps.images_per_second == 160.0
