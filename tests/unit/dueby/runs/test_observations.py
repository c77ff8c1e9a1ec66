"""What is noted in a profile's file: whole, once for each run, and only where `dueby profile` has written here."""

import errno
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dueby.inputs.files import read_profiles, write_profile
from dueby.runs.observations import note_rows
from dueby_api.gpu_profile import GPUProfile, ObservedJob, parse_profile
from dueby_planner.profiles.observed import MAX_JOBS, learn
from support.planner import profile_document

NODE = "this-host"
PROFILE = parse_profile(profile_document(name="mine", device={"node": NODE}))


def row(number: int, ratio: float = 1.05) -> ObservedJob:
    time = datetime(2026, 11, 27, tzinfo=UTC) + timedelta(seconds=number)
    return ObservedJob(job=f"run-{number}", time=time, workers=2, steps=100, step_ratio=ratio)


def note(place: Path, found: ObservedJob, *, planned_with: GPUProfile = PROFILE, node: str = NODE) -> list[str]:
    """Return what is said."""
    return list(note_rows({"mine": found}, [planned_with], [str(place)], node=node))


def noted(path: Path) -> tuple[ObservedJob, ...]:
    (profile,) = read_profiles([str(path)])
    return profile.spec.observed


@pytest.mark.parametrize("place_of", [lambda path: path, lambda path: path.parent], ids=["a file", "a folder"])
def test_a_row_is_noted_and_nothing_else_changes(tmp_path: Path, place_of: Callable[[Path], Path]) -> None:
    path = write_profile(PROFILE, tmp_path)
    assert note(place_of(path), row(1)) == [
        f"Noted for the next plans, in {path}: 100 steps took 1.05 times as long as measured."
    ]
    (found,) = read_profiles([str(path)])
    assert found.spec.observed == (row(1),)
    assert found.replace(spec=found.spec.replace(observed=())) == PROFILE
    # A run that was planned with the profile before that note adds to it, and no run is counted twice.
    for _ in range(2):
        note(place_of(path), row(2))
    assert noted(path) == (row(1), row(2))


def test_three_runs_change_what_is_planned_and_one_alone_does_not(tmp_path: Path) -> None:
    path = write_profile(PROFILE, tmp_path)
    for number, ratio in enumerate((1.0, 1.0, 1.3)):
        assert learn(read_profiles([str(path)])[0].spec).ratio == 1.0
        note(path, row(number, ratio))
    assert learn(read_profiles([str(path)])[0].spec).ratio == pytest.approx(1.1)


def test_no_run_moves_the_mean_by_more_than_a_tenth(tmp_path: Path) -> None:
    path = write_profile(PROFILE, tmp_path)
    for number in range(4):
        note(path, row(number, 50.0))
    assert [found.step_ratio for found in noted(path)] == pytest.approx([1.1, 1.32, 1.573, 1.8634], abs=2e-4)


def test_nor_does_one_in_whose_favour_the_oldest_row_goes(tmp_path: Path) -> None:
    path = write_profile(PROFILE, tmp_path)
    for number in range(MAX_JOBS):
        note(path, row(number, 1.0))
    note(path, row(MAX_JOBS, 50.0))
    assert learn(read_profiles([str(path)])[0].spec).ratio == pytest.approx(1.1)


def edited(path: Path) -> None:
    path.write_text(path.read_text() + "# mine\n")


def measured_again(path: Path) -> None:
    write_profile(PROFILE.replace(spec=PROFILE.spec.replace(processes=7)), path.parent)


def broken(path: Path) -> None:
    path.write_text("kind: [")


def one_of_two(path: Path) -> None:
    path.write_text(path.read_text() + "---\n" + path.read_text())


def gone(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("change", [edited, measured_again, broken, one_of_two, gone])
def test_a_file_that_somebody_else_has_written_is_left_alone(tmp_path: Path, change: Callable[[Path], None]) -> None:
    path = write_profile(PROFILE, tmp_path)
    change(path)
    before = path.read_bytes() if path.exists() else None
    assert note(tmp_path, row(1)) == []
    assert (path.read_bytes() if path.exists() else None) == before


def test_so_is_a_profile_of_another_machine(tmp_path: Path) -> None:
    path = write_profile(PROFILE, tmp_path)
    assert note(path, row(1), node="another-host") == []
    assert noted(path) == ()


def test_a_file_that_can_t_be_written_is_named_and_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_profile(PROFILE, tmp_path)

    def fill_the_disk(path: Path, text: str) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("dueby.runs.observations.write_text", fill_the_disk)
    assert note(path, row(1)) == [f"What this run has shown could not be noted in {path}: No space left on device."]
    assert noted(path) == ()


def test_runs_that_end_at_once_are_all_noted(tmp_path: Path) -> None:
    path = write_profile(PROFILE, tmp_path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: note(path, row(number)), range(16)))
    assert {found.job for found in noted(path)} == {f"run-{number}" for number in range(16)}


def test_a_command_that_is_killed_while_it_notes_leaves_a_whole_file_that_others_can_note_in(tmp_path: Path) -> None:
    path = write_profile(PROFILE, tmp_path)
    lines = (
        "from datetime import UTC, datetime",
        "from dueby.inputs.files import read_profiles",
        "from dueby.runs.observations import note_rows",
        "from dueby_api.gpu_profile import ObservedJob",
        f"path, node = {str(path)!r}, {NODE!r}",
        "while True:",
        "    now = datetime.now(UTC)",
        "    row = ObservedJob(job=str(now), time=now.replace(microsecond=0), workers=2, steps=100, step_ratio=1.05)",
        "    print(*note_rows({'mine': row}, read_profiles([path]), [path], node=node), flush=True)",
    )
    for noted_before in (1, 2, 5):
        with subprocess.Popen([sys.executable, "-c", "\n".join(lines)], stdout=subprocess.PIPE) as process:
            assert process.stdout
            for _ in range(noted_before):
                process.stdout.readline()
            process.kill()
        assert noted(path)
    assert note(path, row(1))
    assert row(1) in noted(path)
