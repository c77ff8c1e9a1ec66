"""Noting in this machine's profiles what a run has shown, so that the next plans know it.

Only what `dueby profile` has written here is changed: a file NAME.yaml of this host, still as it was written, with the
profile that the run was planned with. What a person has edited, what comes from elsewhere, and profiles that were
measured again meanwhile are left alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dueby.inputs.files import read_profiles, sole_writer, to_yaml
from dueby_api.errors import Invalid
from dueby_api.gpu_profile import GPUProfile, ObservedJob
from dueby_api.words import counted
from dueby_planner.profiles.observed import moderated, with_job
from dueby_profiler.files import write_text


def note_rows(
    rows: Mapping[str, ObservedJob], profiles: Sequence[GPUProfile], paths: Sequence[str], *, node: str
) -> Iterator[str]:
    """Note the rows in the files of these profiles, and yield a sentence about each file.

    `rows` are by profile, `paths` are the files and folders that the profiles were read from, `node` is this host.
    """
    for profile in profiles:
        row = rows.get(profile.name)
        if row is None or profile.spec.device.node != node:
            continue
        for path in _places(profile, paths):
            try:
                if _note(row, profile, path):
                    yield (
                        f"Noted for the next plans, in {path}: {counted(row.steps, 'step')} took {row.step_ratio:.2f} "
                        "times as long as measured."
                    )
            except OSError as error:
                yield f"What this run has shown could not be noted in {path}: {error.strerror}."


def _places(profile: GPUProfile, paths: Sequence[str]) -> list[Path]:
    """Return the existing files that may hold the profile."""
    name = f"{profile.name}.yaml"
    found = [path / name if path.is_dir() else path for path in map(Path, paths)]
    return [path.resolve() for path in found if path.name == name and path.is_file()]


def _note(row: ObservedJob, profile: GPUProfile, path: Path) -> bool:
    """Add the row to the profile in the file; return False if the file is another one by now, or was edited."""
    with sole_writer(path.parent):
        found = _as_written(path)
        # Other runs may have noted something meanwhile, and nobody may have done anything else.
        if found is None or _measured(found) != _measured(profile):
            return False
        spec = with_job(found.spec, moderated(found.spec, row))
        write_text(path, to_yaml(found.replace(spec=spec).document()))
        return True


def _as_written(path: Path) -> GPUProfile | None:
    """Return the only profile in the file; None if the file's text isn't what `dueby profile` writes of it."""
    try:
        found = read_profiles([str(path)])
    except Invalid:
        return None
    is_own = len(found) == 1 and to_yaml(found[0].document()) == path.read_text(encoding="utf-8")
    return found[0] if is_own else None


def _measured(profile: GPUProfile) -> GPUProfile:
    return profile.replace(spec=profile.spec.replace(observed=()))
