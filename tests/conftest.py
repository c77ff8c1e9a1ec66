"""What every test runs under: one thread a library, a home of its own, repeatable hypothesis, and needs said aloud.

A test that needs a real S3 server, a browser, a cluster, a compiler or a GPU carries a marker. Where the thing isn't
there the test is skipped, and the last lines of the run say how many were and how to run them; with the need's variable
set to 1, as CI does, it fails instead. Fixtures of a topic are in builders_<topic>.py beside this file.
"""

import os
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import cache

import hypothesis
import pytest

from support.cluster import has_docker

# Before anything imports torch or OpenBLAS, which read these once: a test that needs more threads asks for them.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

# A shell that starts its jobs in the background has them ignore Ctrl-C, which every process under them inherits.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No test reads a person's credentials, configuration or caches, and none leaves anything in their home.
for variable in [name for name in os.environ if name.startswith(("AWS_", "XDG_"))]:
    del os.environ[variable]
HOME = tempfile.mkdtemp(prefix="dueby-tests-")
os.environ["HOME"] = HOME

# Times vary on a shared machine, so no test fails for being slow once. CI tries the same examples every time.
hypothesis.settings.register_profile("person", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "person")


@dataclass(frozen=True, kw_only=True)
class Need:
    """Something outside Python that a marked test can't do without."""

    what: str
    is_there: Callable[[], bool]
    required_by: str
    """Variable that turns the skip into a failure."""
    how: str
    """What a person does to run these tests."""


@cache
def has_gpu() -> bool:
    """Whether torch can use a GPU; imported only when a marked test is about to run."""
    import torch

    return torch.cuda.is_available()


NEEDS = {
    "s3": Need(
        what="an S3 server",
        is_there=lambda: shutil.which("versitygw") is not None,
        required_by="DUEBY_REQUIRE_S3",
        how="put versitygw (github.com/versity/versitygw) on the PATH",
    ),
    "browser": Need(
        what="a browser",
        is_there=lambda: shutil.which("chromium") is not None,
        required_by="DUEBY_REQUIRE_BROWSER",
        how="install Chromium (Debian: apt-get install chromium)",
    ),
    "cluster": Need(
        what="a Kubernetes cluster",
        is_there=has_docker,
        required_by="DUEBY_REQUIRE_CLUSTER",
        how="start Docker and put kind, kubectl and helm on the PATH",
    ),
    "prometheus": Need(
        what="a Prometheus",
        is_there=lambda: shutil.which("prometheus") is not None,
        required_by="DUEBY_REQUIRE_PROMETHEUS",
        how="install Prometheus (Debian: apt-get install prometheus)",
    ),
    "compiler": Need(
        what="a C compiler",
        is_there=lambda: shutil.which("cc") is not None,
        required_by="DUEBY_REQUIRE_COMPILER",
        how="install one (Debian: apt-get install gcc)",
    ),
    "gpu": Need(
        what="an NVIDIA GPU",
        is_there=has_gpu,
        required_by="DUEBY_REQUIRE_GPU",
        how="take a machine that has one",
    ),
}
SKIPPED = pytest.StashKey[Counter[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Count the skips of this run."""
    config.stash[SKIPPED] = Counter()


def pytest_unconfigure() -> None:
    """Remove the tests' home."""
    shutil.rmtree(HOME, ignore_errors=True)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that lacks what it needs, or fail it where that is required."""
    for marker, need in NEEDS.items():
        if item.get_closest_marker(marker) is None or need.is_there():
            continue
        if os.environ.get(need.required_by) == "1":
            pytest.fail(f"needs {need.what}, which {need.required_by}=1 requires: {need.how}", pytrace=False)
        item.config.stash[SKIPPED][marker] += 1
        pytest.skip(f"needs {need.what}: {need.how}")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> Generator[None, None, None]:
    """Say at the very end what was left out."""
    yield
    for marker, count in config.stash[SKIPPED].items():
        need = NEEDS[marker]
        tests = "1 test" if count == 1 else f"{count} tests"
        terminalreporter.write_line(f"SKIPPED {tests} for want of {need.what}. To run: {need.how}.", yellow=True)
