"""Workers of `dueby run` that load their model while the source is indexed.

The source is a web server that answers nothing until the test lets it. So the index step hangs at its sample for as
long as a test needs, however fast the machine is, and what the early workers do meanwhile is read from their logs.
"""

import signal
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest

from support.run import Job, kill, profile_document, wait_until, write_photos

PHOTOS = 120


@dataclass
class HeldSource:
    """A list of photos on a web server that keeps who asks waiting."""

    listed: Path
    is_asked: Event = field(default_factory=Event)
    answers: Event = field(default_factory=Event)
    told: Path | None = None
    """As soon as this file is there, it keeps everybody waiting again."""
    goes_on: Event = field(default_factory=Event)


@pytest.fixture
def source(tmp_path: Path) -> Iterator[HeldSource]:
    photos = tmp_path / "photos"
    write_photos(photos, PHOTOS)
    held = HeldSource(tmp_path / "photos.txt")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def _answer(self, *, with_body: bool) -> None:
            held.is_asked.set()
            held.answers.wait()
            if held.told and held.told.exists():
                held.goes_on.wait()
            data = (photos / Path(self.path).name).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if with_body:
                self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Not a line for each."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    names = sorted(path.name for path in photos.iterdir())
    held.listed.write_text("".join(f"http://127.0.0.1:{server.server_port}/{name}\n" for name in names))
    yield held
    held.answers.set()
    held.goes_on.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder in which a run has its own for as long as it lives. Its path is short, as those of sockets must be."""
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("TMPDIR", folder)
        yield Path(folder)


@pytest.fixture
def job(tmp_path: Path, source: HeldSource, temporary: Path) -> Iterator[Job]:
    (tmp_path / "job").mkdir()
    spec = {"source": {"manifest": {"uri": str(source.listed), "anyHost": True}}}
    job = Job(folder=tmp_path / "job", spec=spec)
    yield job
    source.answers.set()
    job.clean_up()


def waiting(temporary: Path) -> list[Path]:
    """The folders of the early workers that have their model and wait for the plan."""
    logs = temporary.glob("dueby-scratch-run-*/early-*/early*/log.txt")
    return [log.parent for log in logs if "is loaded; waiting for the plan" in log.read_text()]


def wait_for_early_worker(source: HeldSource, temporary: Path, workers: int = 1) -> None:
    wait_until(lambda: len(waiting(temporary)) == workers, "workers wait for the plan")
    wait_until(source.is_asked.is_set, "the index step is at its sample")


def index_pids(job: Job) -> list[int]:
    return [pid for pid in job.worker_pids() if "index" in Path(f"/proc/{pid}/cmdline").read_text().split("\0")]


def assert_nothing_is_left(job: Job, temporary: Path) -> None:
    wait_until(lambda: not job.worker_pids(), "all processes are gone")
    assert not job.parts()
    assert "Traceback" not in job.said()
    assert not list(temporary.glob("dueby-scratch-run-*/early-*/early*/config.json"))


def test_a_worker_loads_its_model_while_the_source_is_indexed_and_then_does_its_share(
    job: Job, source: HeldSource, temporary: Path
) -> None:
    process = job.start()
    wait_for_early_worker(source, temporary)
    (early,) = waiting(temporary)
    source.told = early / "config.json"
    assert not source.told.exists()
    source.answers.set()
    wait_until((early / "port").exists, "it works on its share")
    source.goes_on.set()

    assert process.wait(400) == 0, job.said()
    assert [row["index"] for row in job.rows()] == list(range(PHOTOS))
    assert "w0" in job.record("progress.json")["workers"]


def test_an_index_step_that_fails_ends_it_with_a_sentence(job: Job, source: HeldSource, temporary: Path) -> None:
    process = job.start()
    wait_for_early_worker(source, temporary)
    for pid in index_pids(job):
        kill(pid)

    assert process.wait(400) == 1, job.said()
    assert "index: the index step ended with code -9" in job.said()
    assert_nothing_is_left(job, temporary)


@pytest.mark.parametrize(
    "number",
    [pytest.param(signal.SIGINT, id="Ctrl-C"), pytest.param(signal.SIGTERM, id="SIGTERM", marks=pytest.mark.deep)],
)
def test_interrupted_while_it_waits_it_ends_and_the_same_command_goes_on(
    job: Job, source: HeldSource, temporary: Path, number: signal.Signals
) -> None:
    process = job.start()
    wait_for_early_worker(source, temporary)
    process.send_signal(number)

    assert process.wait(400) == 130, job.said()
    assert "dueby run: interrupted. The same command continues where it stopped." in job.said()
    assert_nothing_is_left(job, temporary)
    source.answers.set()
    assert job.run() == 0, job.said()
    assert [row["index"] for row in job.rows()] == list(range(PHOTOS))


def test_it_ends_with_a_command_that_is_killed(job: Job, source: HeldSource, temporary: Path) -> None:
    process = job.start()
    wait_for_early_worker(source, temporary)
    process.kill()
    process.wait()
    assert_nothing_is_left(job, temporary)


def test_one_that_is_killed_while_it_waits_is_replaced(job: Job, source: HeldSource, temporary: Path) -> None:
    process = job.start()
    wait_for_early_worker(source, temporary)
    for pid in set(job.worker_pids()) - set(index_pids(job)):
        if "--early" in Path(f"/proc/{pid}/cmdline").read_text().split("\0"):
            kill(pid)
    source.answers.set()
    # A fresh process has the first worker's name, and nobody was told to be the one that is gone.
    wait_until(lambda: list(temporary.glob("dueby-scratch-run-*/workers-*/w0/config.json")), "another has its work")
    assert not list(temporary.glob("dueby-scratch-run-*/early-*/early*/config.json"))

    assert process.wait(400) == 0, job.said()
    assert [row["index"] for row in job.rows()] == list(range(PHOTOS))


def test_a_plan_that_is_refused_starts_nothing(job: Job, source: HeldSource, temporary: Path) -> None:
    job.write(deadline="100s", deadlineClass="Hard", gpus={"maxIterations": 1})
    process = job.start()
    wait_for_early_worker(source, temporary)
    source.answers.set()

    assert process.wait(400) == 3, job.said()
    assert "Infeasible" in job.said()
    assert_nothing_is_left(job, temporary)
    assert not (job.sink / "_dueby" / "runs").exists()


def test_two_runs_at_once_have_each_their_own(job: Job, source: HeldSource, temporary: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Job(folder=tmp_path / "other", spec={"source": job.spec["source"]}, profile=profile_document(slices=1))
    both = job.start(), other.start()
    wait_for_early_worker(source, temporary, workers=2)
    source.answers.set()

    assert [process.wait(400) for process in both] == [0, 0], job.said() + other.said()
    for each in (job, other):
        assert [row["index"] for row in each.rows()] == list(range(PHOTOS))
