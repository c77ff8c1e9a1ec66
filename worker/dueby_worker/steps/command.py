"""`python -m dueby_worker index|work|finish --config FILE`: run a step of a job and exit with its code.

    0    done
    2    the input is wrong: a sentence is on stderr
    75   something outside did not answer for ten minutes: the same step may succeed later
    1    anything else, with a traceback on stderr

The last line on stdout is JSON, as is a pod's termination message: the step's result, or {"error": ..., "field": ...}
if it failed (dueby_api/step_messages.py). Output for people goes to stderr.

In a cluster one configuration file serves all pods of a Job. `--index`, or else the Job's completion index, selects a
pod's own settings, which take precedence over those that all pods share.
"""

import argparse
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dueby_api.engines import EngineName
from dueby_api.errors import Invalid, Transient
from dueby_api.parts import text_of_parts
from dueby_api.schema import Spec
from dueby_api.step_config import EarlyConfig, FinishConfig, IndexConfig, WorkConfig
from dueby_api.step_messages import (
    EXIT_BUG,
    EXIT_DONE,
    EXIT_INVALID,
    EXIT_TRY_AGAIN,
    MAX_SENTENCE,
    MAX_WORD,
    FinishResult,
    IndexResult,
    StepError,
    WorkResult,
)
from dueby_api.untrusted import indented, one_line, printable
from dueby_worker.engines.host import process_environment
from dueby_worker.output.other_grid import OtherGrid
from dueby_worker.steps.process_exit import leave_message

# Each step imports what it needs when it runs.
if TYPE_CHECKING:
    from dueby_worker.steps.early import Loaded
from collections.abc import Mapping

from dueby_api.schema import Kind, validate
from dueby_api.step_config import LOSSES_VARIABLE

# Kubernetes sets this in every pod of an Indexed Job.
COMPLETION_INDEX = "JOB_COMPLETION_INDEX"
# Whatever is longer is no number of losses.
_MAX_DIGITS = 9
# Of a pod's 4,096 last bytes, how many an error may take, fewer beside the parts of a sink, and how many its field. A
# character that isn't ASCII takes six or twelve.
_ERROR_BYTES, _GRID_ERROR_BYTES, _FIELD_BYTES = 3000, 1000, 600
# The field of /proc/<pid>/stat that holds the start time, counted after the command's name.
_START_TIME_FIELD = 19
_OWN_PACKAGES = ("dueby_worker", "dueby_profiler")


def load_config(
    kind: type[Kind], path: Path, *, index: int | None = None, environment: Mapping[str, str] = os.environ
) -> Kind:
    """Return the file's content as `kind`. Raise Invalid, with the field, if it is wrong."""
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise Invalid(str(path), f"can't be read: {error.strerror}") from None
    except ValueError as error:
        raise Invalid(str(path), f"is not JSON: {error}") from None
    if isinstance(document, dict) and "workers" in document:
        document = _select(
            document, index if index is not None else environment.get(COMPLETION_INDEX), origin=str(path)
        )
    return validate(kind, document, origin=str(path))


def read_losses(environment: Mapping[str, str] = os.environ) -> int:
    """Return how often this worker was lost before; 0 if nobody says so, as where Kubernetes doesn't count it."""
    text = environment.get(LOSSES_VARIABLE, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS else 0


def _select(document: dict[str, Any], index: int | str | None, *, origin: str) -> dict[str, Any]:
    """Return the settings that all workers share, overridden by those of worker `index`."""
    workers = document["workers"]
    if index is None:
        raise Invalid("--index", f"{origin} holds several workers; say which one, or set {COMPLETION_INDEX}")
    if not isinstance(workers, list) or not all(isinstance(worker, dict) for worker in workers):
        raise Invalid(f"{origin}: workers", "must be a list of mappings")
    if not str(index).isdecimal() or int(index) >= len(workers):
        raise Invalid("--index", f"there is no worker {index} in {origin}, which holds {len(workers)}")
    common = {name: value for name, value in document.items() if name != "workers"}
    return {**common, **workers[int(index)]}


def run_step(argv: Sequence[str]) -> int:
    options = _parse(argv)
    return run_to_end(lambda: _STEPS[options.step](options), for_people=options.for_people)


def run_to_end(step: Callable[[], Spec], *, for_people: bool = False) -> int:
    """Call the step, leave its result or its error as the process's last words, and return the exit code.

    Somebody who watches wants sentences, and hears of an error from the command that has started the step; a log that
    is read later has the time and the level of each line, and the error.
    """
    _log_to_stderr(_Sentences() if for_people else _Lines("%(asctime)s %(levelname)s %(message)s"))
    try:
        leave_message(step())
    except OtherGrid as error:
        print(printable(str(error)), file=sys.stderr)
        leave_message(
            StepError(
                error=_begin(error.message, _GRID_ERROR_BYTES),
                field=error.field,
                part_size=error.part_size,
                parts_there=text_of_parts(error.parts_there),
            )
        )
        return EXIT_INVALID
    except Invalid as error:
        if not for_people:
            print(printable(str(error)), file=sys.stderr)
        leave_message(StepError(error=_begin(error.message), field=_begin(error.field[:MAX_WORD], _FIELD_BYTES)))
        return EXIT_INVALID
    except Transient as error:
        if not for_people:
            print(printable(str(error)), file=sys.stderr)
        leave_message(StepError(error=_begin(str(error))))
        return EXIT_TRY_AGAIN
    # Everything else is a bug, including what is no Exception: whoever started the step must hear of it.
    except BaseException as error:
        print(printable(traceback.format_exc()), end="", file=sys.stderr)
        leave_message(StepError(error=_begin(repr(error))))
        return EXIT_BUG
    return EXIT_DONE


def _begin(text: str, most: int = _ERROR_BYTES) -> str:
    """Return the beginning of a text, with so many bytes as JSON: last words that are cut off are no JSON any more."""
    text = text[:MAX_SENTENCE]
    ends = accumulate(len(json.dumps(character)) - len('""') for character in text)
    return text[: sum(end <= most for end in ends)]


class _Lines(logging.Formatter):
    """A line for each message; below it the traceback, if there is one."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        return one_line(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's own name
        return indented(super().formatException(ei))


class _Sentences(_Lines):
    """Messages as the command prints its own."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message, after a word that says so if it is a warning."""
        word = "" if record.levelno < logging.WARNING else "Warning: "
        return word + super().format(record)


def _log_to_stderr(formatter: logging.Formatter) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    # Libraries tell of what is no news, such as botocore of where it has found credentials.
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    for package in _OWN_PACKAGES:
        logging.getLogger(package).setLevel(logging.INFO)


def process_age_us() -> int:
    """Return the time since this process was created, as the kernel knows it: to 10 ms."""
    # The command's name is in brackets and may hold spaces, so fields are counted after the last bracket.
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    started_s = int(fields[_START_TIME_FIELD]) / os.sysconf("SC_CLK_TCK")
    return round((time.clock_gettime(time.CLOCK_BOOTTIME) - started_s) * 1e6)


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m dueby_worker", description="Run one step of a job.")
    parser.add_argument("step", choices=_STEPS, help="index the source, work on a share, or finish the sink")
    parser.add_argument("--config", type=Path, required=True, help="the step's configuration, a JSON file")
    parser.add_argument(
        "--index", type=int, help="which worker of the configuration this is (default: $JOB_COMPLETION_INDEX)"
    )
    parser.add_argument(
        "--early",
        type=Path,
        metavar="FILE",
        help="work: first load what this file names, then wait for a line on standard input: now CONFIG is there",
    )
    parser.add_argument(
        "--for-people",
        action="store_true",
        help="print messages as sentences, without the time and the level of each, and no error",
    )
    return parser.parse_args(argv)


# Each step imports what it needs when it runs, so that finishing a sink does not wait for torch.


def _index(options: argparse.Namespace) -> IndexResult:
    from dueby_worker.steps.index_step import index_source

    return index_source(load_config(IndexConfig, options.config, index=options.index))


def _work(options: argparse.Namespace) -> WorkResult:
    loaded = _load_early(options.early) if options.early else None
    config = load_config(WorkConfig, options.config, index=options.index)
    if loaded is None:
        _require_environment(config.engine, config.threads)
    from dueby_worker.steps.work_step import work

    waited_us = loaded.waited_us if loaded else 0
    model = loaded.model_for(config) if loaded else None
    return work(
        config,
        process_age_us=lambda: process_age_us() - waited_us,
        losses=read_losses(),
        model=model,
        imported_us=loaded.imported_us if loaded else None,
    )


def _load_early(path: Path) -> "Loaded":
    config = load_config(EarlyConfig, path)
    _require_environment(config.engine, config.threads)
    from dueby_worker.steps.early import load_early

    return load_early(config, process_age_us=process_age_us)


def _require_environment(engine: EngineName, threads: int) -> None:
    """Start this program again, before any library is loaded, if variables are missing that libraries read on loading.

    Whoever starts a local worker has set them. A pod gets them here, because they depend on the worker's code.
    """
    wanted = process_environment(engine, threads)
    missing = {name: value for name, value in wanted.items() if name not in os.environ}
    if missing:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **missing})


def _finish(options: argparse.Namespace) -> FinishResult:
    config = load_config(FinishConfig, options.config, index=options.index)
    from dueby_worker.steps.finish_step import finish_sink

    return finish_sink(config)


_STEPS: dict[str, Callable[[argparse.Namespace], Spec]] = {"index": _index, "work": _work, "finish": _finish}
