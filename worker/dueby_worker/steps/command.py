"""`python -m dueby_worker index|work|finish --config FILE`: a step of a job, from its configuration to its exit code.

    0    fine
    2    the input is wrong: a sentence on stderr
    75   something outside did not answer for ten minutes: the same step may succeed later
    1    anything else, with its traceback

The last line on stdout is JSON, as is a pod's termination message: the step's result, or {"error": ..., "field": ...}.
What is meant for people goes to stderr.
"""

import argparse
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dueby_api.errors import Invalid, Transient
from dueby_api.step_config import FinishConfig, IndexConfig, WorkConfig
from dueby_worker.engines.host import process_environment
from dueby_worker.steps.config import load_config
from dueby_worker.steps.process_exit import BUG, FINE, INVALID, TRY_AGAIN, leave_message


def run_step(argv: Sequence[str]) -> int:
    """Run the step and return the exit code."""
    options = _parse(argv)
    return run_to_end(lambda: _STEPS[options.step](options.config, options.index))


def run_to_end(step: Callable[[], Mapping[str, Any]]) -> int:
    """Call the step, leave its result or what was wrong as the process's last words, and return the exit code."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        leave_message(step())
    except Invalid as error:
        print(error, file=sys.stderr)
        leave_message({"error": error.message, "field": error.field})
        return INVALID
    except Transient as error:
        print(error, file=sys.stderr)
        leave_message({"error": str(error)})
        return TRY_AGAIN
    except BaseException as error:
        traceback.print_exc()
        leave_message({"error": repr(error)})
        return BUG
    return FINE


def process_age_us() -> int:
    """Time since this process was created, as the kernel knows it: to 10 ms."""
    started_ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - started_ticks / os.sysconf("SC_CLK_TCK")
    return round(age_s * 1e6)


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m dueby_worker", description="One step of a job.")
    parser.add_argument("step", choices=_STEPS, help="index the source, work on a share, or finish the sink")
    parser.add_argument("--config", type=Path, required=True, help="the step's configuration, a JSON file")
    parser.add_argument("--index", type=int, help="which of the file's workers; by default $JOB_COMPLETION_INDEX")
    return parser.parse_args(argv)


def _index(path: Path, index: int | None) -> dict[str, Any]:
    from dueby_worker.steps.index_step import index_source

    return index_source(load_config(IndexConfig, path, index=index))


def _work(path: Path, index: int | None) -> dict[str, Any]:
    config = load_config(WorkConfig, path, index=index)
    _require_environment(config)
    from dueby_worker.steps.work_step import work

    return work(config, process_age_us=process_age_us)


def _require_environment(config: WorkConfig) -> None:
    """Start anew, before a library is loaded, with the variables that this engine's libraries read when they are.

    Whoever starts a local worker has set them; a pod gets them here, for they depend on the worker's code.
    """
    wanted = process_environment(config.engine, config.threads)
    missing = {name: value for name, value in wanted.items() if name not in os.environ}
    if missing:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **missing})


def _finish(path: Path, index: int | None) -> dict[str, Any]:
    config = load_config(FinishConfig, path, index=index)
    from dueby_worker.steps.finish_step import finish
    from dueby_worker.storage.stores import open_store

    return finish(open_store(config.sink.uri))


# Each imports what it needs: indexing a source and finishing a sink don't wait for torch.
_STEPS: dict[str, Callable[[Path, int | None], dict[str, Any]]] = {"index": _index, "work": _work, "finish": _finish}
