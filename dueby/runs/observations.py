"""What a run has shown of this machine's devices: a row for each profile that it was planned with, noted in its file.

The rows are the operator's (dueby_operator/model/observations.py), with what is so on one machine. A profile's L was
measured with every device busy, so a run says nothing about it that left a device idle: its first plan needed fewer,
one was given back or to others, or one came too late for its steps to count. Neither do careful workers, which decode
in processes of their own. A slice of cores decodes its images itself: the plan knows how long that takes, and it isn't
waiting. Start-ups are left out, because the measured S includes the check of the engine's first results, and a worker
doesn't say how long that took.

Only what `dueby profile` has written here is changed: a file NAME.yaml of this host, still as it was written, with the
profile that the run was planned with. What a person has edited, what comes from elsewhere, and profiles that were
measured again meanwhile are left alone.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dueby.inputs.files import read_profiles, sole_writer, to_yaml
from dueby.local.process import Process
from dueby.local.record import Record
from dueby.local.this_machine import LocalPool
from dueby_api.engines import runs_on_cpu
from dueby_api.errors import Invalid
from dueby_api.gpu_profile import GPUProfile, ObservedJob
from dueby_api.inference_job import InferenceJob
from dueby_api.input_cost import FREE, InputCost
from dueby_api.words import counted
from dueby_operator.model.observations import Observation, observation_of, row_of
from dueby_planner.model.input_cost import step_with_input
from dueby_planner.profiles.observed import moderated, with_job
from dueby_profiler.files import write_text


def rows_of_run(
    run: str, job: InferenceJob, pool: LocalPool, processes: Sequence[Process], *, record: Record, now_us: int
) -> dict[str, ObservedJob]:
    """Return the row of each profile by its name, for those of the pool's that the run says something about.

    `run` is its name, and `processes` are all that it had.
    """
    profiles = {profile.name: profile for profile in pool.profiles}
    shown: dict[str, list[Observation]] = defaultdict(list)
    busy = set()
    for process in processes:
        profile = profiles.get(process.assignment.choice.profile)
        if profile and process.progress.batches and not process.is_careful:
            observation = _observation(process, profile, record.cost or FREE, now_us=now_us)
            shown[profile.name].append(observation)
            if observation.ratio is not None:
                busy.add(process.slot.name)
    devices = sum(pool.counts.values())
    gave_back = any(replan.reason in ("Ahead", "GaveWay") for replan in record.replans)
    if job.spec.has_own_times or gave_back or min(len(busy), _planned_at_first(processes)) < devices:
        return {}
    rows = {name: row_of(run, workers, now_us=now_us) for name, workers in shown.items()}
    return {name: row for name, row in rows.items() if row.step_ratio is not None}


def _planned_at_first(processes: Sequence[Process]) -> int:
    """Return how many workers the first plan had."""
    revision = min((process.assignment.revision for process in processes), default=0)
    return sum(process.assignment.revision == revision for process in processes)


def _observation(process: Process, profile: GPUProfile, cost: InputCost, *, now_us: int) -> Observation:
    size, input_us = process.assignment.choice.mini_batch_size, 0
    if runs_on_cpu(profile.spec.engine):
        input_us = step_with_input(profile.spec, 0, size, cost, cores=1).latency_us
    age_us = (process.ended_us or now_us) - process.created_us
    return observation_of(process.assignment, process.progress, age_us=age_us, input_us=input_us)


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
    files = [path / name if path.is_dir() else path for path in map(Path, paths)]
    return [path.resolve() for path in files if path.name == name and path.is_file()]


def _note(row: ObservedJob, profile: GPUProfile, path: Path) -> bool:
    """Add the row to the profile in the file; return False if the file is another one by now, or was edited."""
    with sole_writer(path.parent):
        written = _as_written(path)
        # Other runs may have noted something meanwhile, and nobody may have done anything else.
        if written is None or _measured(written) != _measured(profile):
            return False
        spec = with_job(written.spec, moderated(written.spec, row))
        write_text(path, to_yaml(written.replace(spec=spec).document()))
        return True


def _as_written(path: Path) -> GPUProfile | None:
    """Return the only profile in the file; None if the file's text isn't what `dueby profile` writes of it."""
    try:
        profiles = read_profiles([str(path)])
    except Invalid:
        return None
    is_own = len(profiles) == 1 and to_yaml(profiles[0].document()) == path.read_text(encoding="utf-8")
    return profiles[0] if is_own else None


def _measured(profile: GPUProfile) -> GPUProfile:
    return profile.replace(spec=profile.spec.replace(observed=()))
