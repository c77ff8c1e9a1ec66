"""The progress of `dueby profile`, as a terminal of some width shows it."""

import io
import re

import pytest
from rich.console import Console

from dueby.terminal.progress_bar import show_progress
from dueby_profiler.progress_listener import ProgressUpdate

UPDATE = ProgressUpdate(doing="NVIDIA-A100-SXM4-40GB-MIG-1g.5gb: comparing engines: cudagraph", left_s=123.0)
MESSAGE = "cpu-1: cudagraph is left out: this machine has no GPU."


def shown(*, width: int, term: str) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, height=24, force_terminal=True, _environ={"TERM": term})
    with show_progress(console) as listener:
        listener.on_message(MESSAGE)
        listener.on_progress(UPDATE)
    return out.getvalue()


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_neither_what_is_done_nor_the_time_left_is_cut(width: int) -> None:
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown(width=width, term="xterm"))
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", plain)]
    bar = next(at for at, line in enumerate(lines) if "at most" in line)
    assert lines[bar].endswith("at most 2m03s left")
    described = "".join(re.sub(r"[━╺╸]|at most 2m03s left", "", line).strip() for line in lines[bar:])
    assert described.replace(" ", "").startswith(UPDATE.doing.replace(" ", ""))
    assert max(map(len, lines)) <= width
    assert MESSAGE in " ".join(lines)


def test_on_a_terminal_that_cannot_redraw_each_phase_is_a_line() -> None:
    found = shown(width=200, term="dumb")
    assert found.splitlines() == [MESSAGE, f"  {UPDATE.doing} (at most 2m03s left)"]
