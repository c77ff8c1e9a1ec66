"""A worker that is started before its plan: what it has when it is told, and how it ends if it never is."""

import logging
import os
import threading
from collections.abc import Iterator

import pytest

from dueby_api.errors import Transient
from dueby_api.inference_job import Model
from dueby_api.schema import validate
from dueby_api.step_config import EarlyConfig, WorkConfig
from dueby_worker.steps import early
from dueby_worker.steps.early import load_early

MODEL = Model(name="mobilenet_v3_small", weights="none", image_size=64)
CONFIG = EarlyConfig(model=MODEL, engine="eager", threads=1)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Its standard input: what it reads, and what whoever started it writes to."""
    read, write = os.pipe()
    yield read, write
    os.close(read)


def work_config(model: Model) -> WorkConfig:
    document = {"job": "job", "revision": 1, "worker": "w0", "deviceClass": "cpu-1", "engine": "eager", "threads": 1}
    document |= {"decodeThreads": 1, "miniBatchSize": 8, "iterations": 1, "share": [0, 1], "shares": [[0, 1]]}
    document |= {"images": 8, "partSize": 8, "source": {"synthetic": {}}, "sink": {"uri": "/nowhere"}}
    return validate(WorkConfig, document | {"model": model.document()}, origin="the test")


class TellsLater(logging.Handler):
    """Writes the line some time after the worker says that it waits."""

    def __init__(self, write: int, delay_s: float) -> None:
        super().__init__()
        self.timer = threading.Timer(delay_s, os.write, (write, b"\n"))

    def emit(self, record: logging.LogRecord) -> None:
        self.timer.start()


def test_told_it_has_the_model_of_its_configuration_and_no_other(pipe: tuple[int, int]) -> None:
    read, write = pipe
    os.write(write, b"\n")
    loaded = load_early(CONFIG, process_age_us=lambda: 7, told=read)
    os.close(write)
    assert loaded.model_for(work_config(MODEL)) is loaded.model
    assert loaded.model_for(work_config(MODEL.replace(image_size=96))) is None


def test_it_says_how_long_it_waited(pipe: tuple[int, int], caplog: pytest.LogCaptureFixture) -> None:
    read, write = pipe
    caplog.set_level(logging.INFO, logger=early.log.name)
    teller = TellsLater(write, 0.2)
    early.log.addHandler(teller)
    try:
        assert load_early(CONFIG, process_age_us=lambda: 7, told=read, limit_s=60.0).waited_us >= 200_000
    finally:
        early.log.removeHandler(teller)
    os.close(write)


def test_it_ends_with_a_sentence_if_whoever_started_it_lets_go(pipe: tuple[int, int]) -> None:
    read, write = pipe
    os.close(write)
    with pytest.raises(Transient, match="no plan came: the job is over"):
        load_early(CONFIG, process_age_us=lambda: 7, told=read)


def test_it_does_not_wait_for_ever(pipe: tuple[int, int]) -> None:
    read, write = pipe
    with pytest.raises(Transient, match="no plan came within 0 s"):
        load_early(CONFIG, process_age_us=lambda: 7, told=read, limit_s=0.0)
    os.close(write)
