"""What the workers of this machine are started with."""

import json
import subprocess
import time
from pathlib import Path

import pytest

from dueby.local.process import Process
from dueby.local.processes import Processes, wait_for_an_end
from dueby.local.this_machine import Slot
from dueby.local.worker_process import own_variables
from dueby_api.errors import DueByError
from dueby_api.grid import Share
from dueby_api.step_messages import EXIT_BUG, EXIT_TRY_AGAIN
from dueby_planner.schedule.job import Assignment
from support.planner import choice, job

WORK = Assignment(
    worker="w0", revision=1, device_class="cpu-1", choice=choice(8, 1000), iterations=0, share=Share(first=0, end=1)
)
SLOT = Slot(name="cpu-1/0", device_class="cpu-1", threads=1)


def started(*command: str, folder: Path = Path("/nowhere")) -> Process:
    return Process(
        assignment=WORK,
        slot=SLOT,
        process=subprocess.Popen(command),
        created_us=0,
        folder=folder,
        part_size=1,
    )


def test_a_variable_of_a_cluster_s_object_is_left_to_the_users_own_environment() -> None:
    variables = [
        {"name": "A", "value": "1"},
        {"name": "EMPTY"},
        {"name": "NULL", "value": None},
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
    ]
    assert own_variables(job(worker={"env": variables})) == {"A": "1", "EMPTY": "", "NULL": ""}


def test_the_end_of_any_process_ends_the_wait_and_one_that_is_known_does_not() -> None:
    asleep, over = started("sleep", "3600"), started("true")
    try:
        wait_for_an_end([asleep, over], 3600.0)
        over.refresh()
        assert not over.has_slot
        began_s = time.monotonic()
        wait_for_an_end([asleep, over], 0.2)
        assert time.monotonic() - began_s >= 0.2
    finally:
        asleep.process.kill()
        asleep.process.wait()


@pytest.mark.parametrize(
    ("code", "words", "sentence"),
    [
        pytest.param(
            EXIT_TRY_AGAIN, {"error": "s3://b: is away"}, "worker w0 gave up: s3://b: is away", id="a store is away"
        ),
        pytest.param(
            EXIT_BUG,
            {"error": "KeyError('a')"},
            "1 worker ended before their time, the last with exit code 1: KeyError('a')",
            id="a bug",
        ),
        pytest.param(EXIT_TRY_AGAIN, None, "worker w0 gave up: one / two", id="it left a log alone"),
    ],
)
def test_workers_that_are_lost_again_and_again_are_told_of_in_their_own_words(
    tmp_path: Path, code: int, words: dict[str, str] | None, sentence: str
) -> None:
    (tmp_path / "log.txt").write_text("one\ntwo\n" + (json.dumps(words) if words else ""))
    if words:
        (tmp_path / "last-words.json").write_text(json.dumps(words))
    processes = Processes(
        job(),
        [SLOT],
        folder=tmp_path,
        cache_folder=tmp_path,
        images=1,
        fingerprint=None,
        retry_failed=False,
        environment_of=lambda engine, threads: {},
    )
    lost = started("sh", "-c", f"exit {code}", folder=tmp_path)
    processes.started.append(lost)
    lost.process.wait()
    lost.refresh()
    with pytest.raises(DueByError) as caught:
        raise processes.fault_of_losses()
    assert str(caught.value) == sentence
