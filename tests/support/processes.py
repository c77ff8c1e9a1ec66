"""Real worker processes for tests: a job over small photos, whose steps run as `python -m dueby_worker`."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dueby_api.schema import validate
from dueby_api.step_config import IndexConfig, WorkConfig
from dueby_planner.model.shares import cut_shares
from dueby_worker.steps.command import process_age_us
from dueby_worker.steps.finish_step import finish
from dueby_worker.steps.index_step import index_source
from dueby_worker.steps.work_step import work
from dueby_worker.storage.stores import open_store
from support.run import MAX_WAIT_S
from support.shared_run import RUN

# A real network with real weights that runs an image in a few milliseconds. With OpenVINO a worker needs no PyTorch
# once another has converted the network: it starts in a third of the time of a core.
MODEL = {"name": "efficientnet_lite0", "imageSize": 64, "precision": "fp32", "engine": "openvino"}


def make_photos(folder: Path, count: int, *, side: int = 48, damaged: Sequence[int] = ()) -> Path:
    """Write different JPEGs, named in the order of their numbers, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8)
        path = folder / f"{number:06d}.jpg"
        Image.fromarray(pixels).resize((side, side)).save(path, quality=80)
        if number in damaged:
            path.write_bytes(path.read_bytes()[:100])
    return folder


def wait_for(condition: Callable[[], Any], what: str, *, limit_s: float = MAX_WAIT_S) -> Any:
    """Return the condition's first true value. Fail the test if it stays false."""
    give_up = time.monotonic() + limit_s
    while not (value := condition()):
        assert time.monotonic() < give_up, f"{what}: not within {limit_s:.0f} s"
        time.sleep(0.02)
    return value


@dataclass(eq=False)
class Step:
    """A step's process."""

    folder: Path
    process: subprocess.Popen[bytes]

    def wait(self, *, limit_s: float = MAX_WAIT_S) -> int:
        """Wait for the process to end and return its exit code."""
        try:
            return self.process.wait(limit_s)
        finally:
            if self.process.poll() is None:
                self.kill()

    def kill(self) -> None:
        """Kill the process with signal 9."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    @contextmanager
    def hung(self) -> Iterator[None]:
        """Stop the process for a while, as if its disk or GPU did not answer."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    @property
    def log(self) -> str:
        """What the process wrote to stderr."""
        return (self.folder / "stderr").read_text()

    def result(self) -> dict[str, Any]:
        """Return the last line of stdout as JSON. Fail the test unless the step ended well."""
        assert self.wait() == 0, self.log
        return dict(json.loads((self.folder / "stdout").read_text().splitlines()[-1]))

    def last_words(self) -> dict[str, Any]:
        """Return its termination message."""
        return dict(json.loads((self.folder / "last-words").read_text()))

    def ask(self, page: str) -> tuple[int, str] | None:
        """Return status and text of one of its pages; None while it does not answer."""
        try:
            port = int((self.folder / "port").read_text())
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{page}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except (OSError, ValueError, HTTPException):  # not there yet, or gone while it answered
            return None

    def progress(self) -> dict[str, Any]:
        """Return its /progress; empty while it does not answer."""
        answer = self.ask("/progress")
        return dict(json.loads(answer[1])) if answer else {}

    def wait_for_state(self, *states: str) -> None:
        """Wait until it is in one of these states, or has ended well."""

        def is_there() -> bool:
            assert self.is_running or self.process.returncode == 0, self.log
            return not self.is_running or self.progress().get("state") in states

        wait_for(is_there, f"a worker that is {' or '.join(states)}")


@dataclass(kw_only=True)
class ProcessJob:
    """A job whose steps are processes."""

    folder: Path
    source: Mapping[str, Any]
    sink: str
    images: int
    part_size: int
    workers: int = 1
    model: Mapping[str, Any] = field(default_factory=lambda: MODEL)
    mini_batch_size: int = 8
    if_exists: str = "Resume"
    environment: Mapping[str, str] = field(default_factory=dict)
    started: list[Step] = field(default_factory=list)

    def index(self, **changes: Any) -> Step:
        """Start the index step."""
        return self._start("index", {**self._index_document(), **changes})

    def work(self, place: int = 0, **changes: Any) -> Step:
        """Start a worker."""
        return self._start("work", {**self._work_document(place), **changes})

    def finish(self, **changes: Any) -> Step:
        """Start the finish step."""
        return self._start("finish", {**self._common_document(), **changes})

    def index_here(self, **changes: Any) -> dict[str, Any]:
        """Run the index step in this process, which has loaded the model's libraries already."""
        return index_source(validate(IndexConfig, {**self._index_document(), **changes})).document()

    def work_here(self, place: int = 0, **changes: Any) -> dict[str, Any]:
        """Run a worker in this process."""
        config = validate(WorkConfig, {**self._work_document(place), **changes})
        return work(config, process_age_us=process_age_us).document()

    def finish_here(self) -> dict[str, Any]:
        """Run the finish step in this process."""
        return finish(open_store(self.sink)).document()

    def _common_document(self) -> dict[str, Any]:
        return {"job": "catalog", "sink": {"uri": self.sink, "ifExists": self.if_exists}}

    def _index_document(self) -> dict[str, Any]:
        return {**self._common_document(), **self._input_document()}

    def _input_document(self) -> dict[str, Any]:
        own = {"images": self.images, "source": self.source, "model": self.model}
        return {**own, "cacheDir": str(RUN / "cache")}

    def _work_document(self, place: int) -> dict[str, Any]:
        parts = -(-self.images // self.part_size)
        shares = [[share.first, share.end] for share in cut_shares(parts, [1] * self.workers)]
        return {
            **self._common_document(),
            "revision": 1,
            "worker": f"w{place}",
            "deviceClass": "cpu-1",
            "engine": self.model["engine"],
            "threads": 1,
            "decodeThreads": 1,
            "miniBatchSize": self.mini_batch_size,
            "iterations": 0,
            "share": shares[place],
            "shares": shares,
            "rank": place,
            "partSize": self.part_size,
            **self._input_document(),
        }

    def stop_all(self) -> None:
        """Kill every process that is still running."""
        for step in self.started:
            if step.is_running:
                step.kill()

    def _start(self, name: str, document: Mapping[str, Any]) -> Step:
        folder = self.folder / f"{len(self.started):03d}-{name}"
        folder.mkdir(parents=True)
        ports = {"portFile": str(folder / "port")} if name == "work" else {}
        (folder / "config.json").write_text(json.dumps({**ports, **document}))
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "DUEBY_TERMINATION_LOG": str(folder / "last-words"),
            **self.environment,
        }
        with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "dueby_worker", name, "--config", str(folder / "config.json")],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env=environment,
            )
        self.started.append(Step(folder, process))
        return self.started[-1]
