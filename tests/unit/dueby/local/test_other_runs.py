"""What a run hears of other runs on this machine."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dueby.local.other_runs import OtherRun, announced
from dueby_api.errors import Invalid
from support.small_disk import fill, remount, small_disk

HOLDER = """\
import sys
from pathlib import Path
from dueby.local.other_runs import announced
jobs, slots, sinks = ["nightly", "catalog"], ["cpu-1/0", "cpu-1/1"], ["file:///out"]
with announced(Path(sys.argv[1]), node="here", jobs=jobs, slots=slots, sinks=sinks):
    print("announced", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_run(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"announced\n"
        yield holder
        holder.kill()


def others(
    folder: Path, *, node: str = "here", slots: tuple[str, ...] = ("cpu-1/1", "cpu-1/2"), sink: str = "file:///mine"
) -> list[OtherRun]:
    with announced(folder, node=node, jobs=["mine"], slots=slots, sinks=[sink]) as found:
        return found


def test_a_run_is_told_who_uses_the_same_slots_while_they_live(tmp_path: Path) -> None:
    with another_run(tmp_path) as holder:
        [other] = others(tmp_path)
        assert (other.pid, other.jobs, other.slots) == (holder.pid, ("nightly", "catalog"), ("cpu-1/1",))
        assert "nightly, catalog" in other.sentence
        assert not others(tmp_path, slots=("cpu-2/0",))
        assert not others(tmp_path, node="elsewhere")
        holder.kill()
        holder.wait()
        assert [path.name for path in tmp_path.iterdir()] == [f"here.{holder.pid}.json"]
        assert not others(tmp_path)
        assert not list(tmp_path.iterdir())


def test_a_run_is_refused_that_writes_where_another_one_does_while_that_lives(tmp_path: Path) -> None:
    with another_run(tmp_path) as holder:
        with pytest.raises(Invalid, match=f"process {holder.pid}: nightly, catalog.* writes to file:///out; wait"):
            others(tmp_path, slots=(), sink="file:///out")
        assert [path.name for path in tmp_path.iterdir()] == [f"here.{holder.pid}.json"]
        holder.kill()
        holder.wait()
        assert not others(tmp_path, sink="file:///out")


def test_a_run_that_can_say_nothing_of_itself_runs_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert not others(tmp_path / "file" / "runs")


@pytest.mark.disk
@pytest.mark.parametrize("spoil", [fill, lambda disk: remount(disk, "ro")], ids=["full", "read-only"])
def test_nor_does_a_full_or_read_only_disk_stop_it(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    with small_disk(tmp_path / "disk") as disk:
        spoil(disk)
        assert not others(disk)
        assert not list(disk.glob("*.json"))


def test_what_is_no_note_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "here.1.json").write_text("{")
    assert not others(tmp_path)
    assert not list(tmp_path.iterdir())
