"""What the workers of this machine are started with."""

import subprocess
import time
from pathlib import Path

from dueby.local.process import Process
from dueby.local.processes import wait_for_an_end
from dueby.local.slots import Slot
from dueby.local.worker_process import own_variables
from dueby_api.grid import Share
from dueby_operator.model.job_model import Assignment
from support.planner import choice, job

WORK = Assignment(
    worker="w0", revision=1, device_class="cpu-1", choice=choice(8, 1000), iterations=0, share=Share(first=0, end=1)
)
SLOT = Slot(name="cpu-1/0", device_class="cpu-1", threads=1)


def started(*command: str) -> Process:
    return Process(
        assignment=WORK,
        slot=SLOT,
        process=subprocess.Popen(command),
        created_us=0,
        folder=Path("/nowhere"),
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
