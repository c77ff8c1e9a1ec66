"""A study of a tiny model on this very machine: measured, killed, continued, and opened in a browser."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dueby.inputs.files import read_profiles
from dueby_profiler.progress_listener import ProgressListener
from dueby_study.make import write_pages
from dueby_study.measurements.times import steady_sizes
from dueby_study.study import run_study
from support.browser import open_browser
from support.killed import killed_with_block, processes_with
from support.run import MAX_WAIT_S
from support.study import a_context, measure_all, real_context


@pytest.mark.deep
def test_a_study_that_is_killed_continues_where_it_was(tmp_path: Path) -> None:
    marker = f"DUEBY_TEST={tmp_path}"
    command = [sys.executable, "-m", "support.study", str(tmp_path), "times"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "DUEBY_TEST": str(tmp_path)}
    with killed_with_block(command, env=environment, stderr=subprocess.PIPE) as first:
        wait_until(lambda: bool(list((tmp_path / "raw" / "times").glob("*.parquet"))), first)
        first.send_signal(signal.SIGKILL)
        first.wait(MAX_WAIT_S)
        wait_until(lambda: not processes_with(marker), None)
    there = {path: path.stat().st_mtime_ns for path in (tmp_path / "raw").glob("*/*.parquet")}
    assert there

    messages: list[str] = []
    listener = ProgressListener(on_message=messages.append)
    context = real_context(tmp_path, listener)
    summary = run_study(context, ["times", "together"])
    assert messages[0].startswith("Continuing the study")
    assert {path: path.stat().st_mtime_ns for path in there} == there
    assert summary.times is not None
    # A slow machine's profile may end at a smaller size than the study's largest, a busy one's even at the first.
    sizes = steady_sizes(context.profile().spec, context.preset)
    assert [seen.mini_batch_size for seen in summary.times.sizes] == sizes
    assert sizes
    assert sizes == [1, 4, 16][: len(sizes)]
    assert all(seen.warmup_us > 0 and seen.mean_us > 0 for seen in summary.times.sizes)
    assert summary.together is not None
    assert summary.seconds.keys() == {"subject", "times", "together"}
    assert [profile.spec.engine for profile in read_profiles([str(tmp_path / "profiles")])][:1] == ["eager"]
    assert run_study(real_context(tmp_path, listener), ["times"]).times == summary.times
    assert messages[-1] == "Everything has been measured already."


@pytest.mark.browser
def test_the_page_is_clean_and_fits_every_width(tmp_path: Path) -> None:
    context = a_context(tmp_path / "study")
    measure_all(context)
    page = write_pages(run_study(context, ["memory", "times", "together", "models"]), context.folder)[0]
    program = shutil.which("chromium")
    assert program is not None
    with open_browser(program, profile=tmp_path / "profile") as browser:
        for width, dark in ((1280, False), (1280, True), (768, False), (400, True), (320, False)):
            browser.open(page, width=width, dark=dark)
            assert browser.ask("document.documentElement.scrollWidth") <= width, f"too wide at {width} px"
            assert browser.ask("[...document.images].every(e => e.complete && e.naturalWidth > 0)")
            assert browser.complaints == []
            assert [uri for uri in browser.requests if not uri.startswith("data:")] == [page.as_uri()]


def wait_until(condition: Callable[[], bool], process: "subprocess.Popen[bytes] | None") -> None:
    end = time.monotonic() + MAX_WAIT_S
    while not condition():
        assert process is None or process.poll() is None, process.communicate()[1].decode()
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
