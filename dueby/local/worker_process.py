"""Start a worker's process, with its slot's cores or GPU and its own log. It ends with this one, however that ends."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dueby.local.this_machine import Slot
from dueby_api.engines import EngineName
from dueby_api.inference_job import InferenceJob
from dueby_api.step_config import LOSSES_VARIABLE
from dueby_worker.system.end_with_parent import ending_with_me
from dueby_worker.system.temporary_files import temporary_files_in

EnvironmentOf = Callable[[EngineName, int], Mapping[str, str]]
"""The variables that a process of an engine with so many threads must start with."""


def start_worker(
    job: InferenceJob,
    slot: Slot,
    engine: EngineName,
    *,
    folder: Path,
    scratch: Path,
    environment_of: EnvironmentOf,
    losses: int = 0,
    options: Sequence[str] = (),
    is_told_later: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a worker whose configuration is in `folder`, or will be once it is told so on its standard input.

    Its temporary files go to `scratch`. To be called in the main thread, with which the worker ends.
    """
    environment = {
        **os.environ,
        **temporary_files_in(scratch),
        **own_variables(job),
        **environment_of(engine, slot.threads),
        "DUEBY_TERMINATION_LOG": str(folder / "last-words.json"),
        LOSSES_VARIABLE: str(losses),
        **({"CUDA_VISIBLE_DEVICES": slot.gpu} if slot.gpu else {}),
    }
    with (folder / "log.txt").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "dueby_worker", "work", "--config", str(config_path(folder)), *options],
            stdin=subprocess.PIPE if is_told_later else subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            # Ctrl-C is for this process; it tells its workers.
            start_new_session=True,
            preexec_fn=ending_with_me(),
        )


def config_path(folder: Path) -> Path:
    """Return where a worker with this folder finds its configuration."""
    return folder / "config.json"


def own_variables(job: InferenceJob) -> dict[str, str]:
    """Return the environment variables that the job gives its workers.

    What a variable takes from an object of a cluster (`valueFrom`) is here what the user's own environment has.
    """
    return {variable.name: variable.value or "" for variable in job.spec.worker.env if variable.value_from is None}
