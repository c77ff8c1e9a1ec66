"""What every test runs under: one thread a library, a home of its own, repeatable hypothesis, and needs said aloud.

A test that needs a real S3 or Azure server, a browser, a cluster, a compiler or a GPU carries a marker. Where the thing
isn't there the test is skipped, and the last lines of the run say how many were and how to run them; with the need's
variable set to 1, as CI does, it fails instead.
"""

import gc
import os
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from dueby_profiler.machine.interference import is_in_effect
from support.ended import all_ended, mark_ended, wait_for_others
from support.examples import DEEP, DEEP_EXAMPLES, USUAL_EXAMPLES, load_profiles
from support.kind.cluster import has_docker
from support.kind.kind_cluster import end_cluster
from support.lanes import E2E, INTEGRATION, LANES, UNDISTURBED
from support.shared_run import IS_FIRST, RUN
from support.small_disk import may_mount
from support.work_units import WorkUnits

# Before anything imports torch or OpenBLAS, which read these once: a test that needs more threads asks for them.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

# A shell that starts its jobs in the background has them ignore Ctrl-C, which every process under them inherits.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No test reads a person's credentials, configuration or caches, and none leaves anything in their home.
for variable in [name for name in os.environ if name.startswith(("AWS_", "AZURE_", "XDG_"))]:
    del os.environ[variable]
HOME = tempfile.mkdtemp(prefix="dueby-tests-")
os.environ["HOME"] = HOME

load_profiles()


@dataclass(frozen=True, kw_only=True)
class Need:
    """What a marked test can't do without: something outside Python, or time."""

    because: str
    """What these tests do that not every run can give them: the end of "tests that ..."."""
    is_there: Callable[[], bool]
    how: str
    """What a person does to run these tests."""
    required_by: str = ""
    """Variable that turns the skip into a failure."""


@cache
def has_gpu() -> bool:
    """Whether torch can use a GPU; imported only when a marked test is about to run."""
    import torch

    return torch.cuda.is_available()


# Files of resource definitions that an autoscaler brings.
DEFINITIONS = ("DUEBY_PROVISIONING_REQUESTS", "DUEBY_CAPACITY_BUFFERS")
NEEDS = {
    "s3": Need(
        because="need an S3 server",
        is_there=lambda: shutil.which("versitygw") is not None,
        required_by="DUEBY_REQUIRE_S3",
        how="put versitygw (github.com/versity/versitygw) on the PATH",
    ),
    "azure": Need(
        because="need a server of Azure Blob Storage",
        is_there=lambda: shutil.which("azurite-blob") is not None,
        required_by="DUEBY_REQUIRE_AZURE",
        how="put Azurite on the PATH (npm install --global azurite)",
    ),
    "browser": Need(
        because="need a browser",
        is_there=lambda: shutil.which("chromium") is not None,
        required_by="DUEBY_REQUIRE_BROWSER",
        how="install Chromium (Debian: apt-get install chromium)",
    ),
    "cluster": Need(
        because="need a Kubernetes cluster",
        is_there=has_docker,
        required_by="DUEBY_REQUIRE_CLUSTER",
        how="start Docker and put kind, kubectl and helm on the PATH",
    ),
    "definitions": Need(
        because="need an autoscaler's resource definitions",
        is_there=lambda: all(Path(os.environ.get(variable, "")).is_file() for variable in DEFINITIONS),
        required_by="DUEBY_REQUIRE_CLUSTER",
        how=f"name their files in {' and '.join(DEFINITIONS)} (kubernetes/autoscaler has them in apis/config/crd)",
    ),
    "prometheus": Need(
        because="need a Prometheus",
        is_there=lambda: shutil.which("prometheus") is not None,
        required_by="DUEBY_REQUIRE_PROMETHEUS",
        how="install Prometheus (Debian: apt-get install prometheus)",
    ),
    "disk": Need(
        because="mount a small disk",
        is_there=may_mount,
        required_by="DUEBY_REQUIRE_DISK",
        how="run them as root, in a container with the capability SYS_ADMIN",
    ),
    "compiler": Need(
        because="need a C compiler",
        is_there=lambda: shutil.which("cc") is not None,
        required_by="DUEBY_REQUIRE_COMPILER",
        how="install one (Debian: apt-get install gcc)",
    ),
    "gpu": Need(
        because="need an NVIDIA GPU",
        is_there=has_gpu,
        required_by="DUEBY_REQUIRE_GPU",
        how="take a machine that has one",
    ),
    "autogroup": Need(
        because="need sessions that are scheduled as groups",
        is_there=is_in_effect,
        required_by="DUEBY_REQUIRE_AUTOGROUP",
        how="set /proc/sys/kernel/sched_autogroup_enabled to 1, outside of containers",
    ),
    DEEP: Need(
        because="take long, and mostly show what cheaper tests show",
        is_there=lambda: is_deep(),
        how="make test-deep",
    ),
}
# Each takes half a GB and imports everything.
MAX_WORKERS = 8
# Lines that are shown of a failure before the summary.
MOST_REASONS = 4
# The name under which a skipped test's report says what it lacked. Reports, unlike objects, come from xdist's workers.
LACKED = "lacked"


def is_deep() -> bool:
    """Return whether properties are tried on many examples, and slow tests run."""
    return hypothesis.settings().max_examples >= DEEP_EXAMPLES


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return a worker for each core, and one for each lane of tests of a cluster, since these mostly wait."""
    cores = len(os.sched_getaffinity(0))
    paths = [Path(argument.partition("::")[0]).resolve() for argument in config.args]
    is_e2e = any(E2E.is_relative_to(path) or path.is_relative_to(E2E) for path in paths)
    has_lanes = is_e2e and not config.option.keyword and has_docker()
    return min(cores, MAX_WORKERS) + (len(LANES) if has_lanes else 0)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> WorkUnits | None:
    """Give a lane of end-to-end tests to a worker as a whole, and of other tests a file."""
    return WorkUnits(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_unconfigure() -> None:
    """Remove the tests' home, and what the processes of this run have shared once the last of them has ended."""
    shutil.rmtree(HOME, ignore_errors=True)
    if IS_FIRST:
        end_cluster()
        shutil.rmtree(RUN, ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Read the test modules without a search for garbage among all that they keep: that takes a third of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put tests that wait for others behind them, in whatever order the files were named."""
    last = max((place + 1 for place, item in enumerate(items) if item.path.is_relative_to(E2E)), default=0)
    items[:last] = sorted(items[:last], key=lambda item: item.path.is_relative_to(E2E / UNDISTURBED))
    items.sort(key=lambda item: item.path.is_relative_to(INTEGRATION / UNDISTURBED))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Have undisturbed tests wait, which is no part of their time, and note that a test has ended.

    With the last end-to-end test the cluster ends: with nothing to do it takes a fifth of a core.
    """
    wait_for_others(item)
    try:
        return (yield)
    finally:
        mark_ended(item)
        if item.path.is_relative_to(E2E) and all_ended(i for i in item.session.items if i.path.is_relative_to(E2E)):
            end_cluster()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that lacks what it needs, or fail it where that is required."""
    for marker, need in NEEDS.items():
        if item.get_closest_marker(marker) is None or need.is_there():
            continue
        why = f"tests like this {need.because}: {need.how}"
        if os.environ.get(need.required_by) == "1":
            pytest.fail(f"{why}, and {need.required_by}=1 requires them", pytrace=False)
        item.user_properties.append((LACKED, marker))
        pytest.skip(why)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Say at once which test failed, and why: a run that is stopped has no summary."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        reasons = [line for line in report.longreprtext.splitlines() if line.startswith("E ")]
        print(f"\nfailed: {report.nodeid}", *reasons[:MOST_REASONS], sep="\n", file=sys.stderr, flush=True)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Generator[None, None, None]:
    """Say at the very end what was left out."""
    yield
    reports = terminalreporter.stats.get("skipped", [])
    lacked = Counter(marker for report in reports for name, marker in report.user_properties if name == LACKED)
    for marker, count in lacked.items():
        need = NEEDS[marker]
        terminalreporter.write_line(
            f"SKIPPED {count} of the tests that {need.because}. To run them: {need.how}.", yellow=True
        )
    if not is_deep():
        terminalreporter.write_line(
            f"Each property was tried on {USUAL_EXAMPLES} examples. To try {DEEP_EXAMPLES}: make test-deep.",
            yellow=True,
        )
