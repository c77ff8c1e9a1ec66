"""What the chaos does to sinks and to the statuses of jobs that are done. Rows are counted by what `_SUCCESS` lists.

A status is lost, as by a restore without statuses or a definition that prunes it; Velero brings a job back; a job is
applied on a sink that another one has finished; a sink is emptied beneath its job. In none of these cases may a job
that says Succeeded lack a row, and no finished row may go for a job that was not to overwrite it.
"""

import shutil
from pathlib import Path

import dueby
from chaos.cluster import Document, insist
from chaos.hostile import Case, HostileCases
from chaos.hostile_objects import changed_worker, hostile_job
from support.kind.cluster_job import parts_in, share_folder

IMAGES, MANY_IMAGES = 500, 4_000
DEADLINE = "20m"
MAX_S = 1800.0
# Rows that are finished so long after a job was made are not overwritten by it.
CLOCKS_DIFFER_S = 60.0
Ended = tuple[str, str, bool]


def nearly_too_long(cases: HostileCases, name: str) -> Ended:
    """A job whose spec has almost as many bytes as one may have, which runs as any other."""
    document = changed_worker(cases.cluster, name, annotations=dict.fromkeys("ab", "x" * 30_000))
    document["spec"]["deadline"] = DEADLINE
    return _succeeds(cases, name, document, images=IMAGES)


def loses_its_status(cases: HostileCases, name: str) -> Ended:
    """A finished job that is to overwrite its sink, and forgets that it is finished."""
    ended = _succeeds(cases, name, _overwriting(cases, name), images=IMAGES, is_kept=True)
    before = _times(cases, name)
    _wipe(cases, name)
    again = _ends(cases, name, images=IMAGES)
    is_left_alone = _times(cases, name) == before
    told = f"{again[1]}; its parts were {'left alone' if is_left_alone else 'written again'}"
    return again[0], told, ended[2] and again[2] and is_left_alone


def is_restored(cases: HostileCases, name: str) -> Ended:
    """A finished job that is to overwrite its sink is deleted, and made again as Velero does it."""
    document = _overwriting(cases, name)
    ended = _succeeds(cases, name, document, images=IMAGES, is_kept=True)
    before = _times(cases, name)
    insist(cases.world, cases.cluster, "delete", "infj", name, "--timeout=60s", "--ignore-not-found")
    document["metadata"]["labels"] = {"velero.io/restore-name": "last-night"}
    again = _succeeds(cases, name, document, images=IMAGES)
    is_left_alone = _times(cases, name) == before
    told = f"{again[1]}; its parts were {'left alone' if is_left_alone else 'written again'}"
    return again[0], told, ended[2] and again[2] and is_left_alone


def is_applied_again(cases: HostileCases, name: str) -> Ended:
    """On a sink that one job has finished, another overwrites, with fewer images."""
    first = _succeeds(cases, name, _overwriting(cases, name), images=IMAGES)
    other = {**_overwriting(cases, name), "metadata": {"name": f"{name}-again", "namespace": cases.cluster.namespace}}
    other["spec"]["images"] = IMAGES // 2
    second = _succeeds(cases, f"{name}-again", other, images=IMAGES // 2, folder=name)
    return second[0], second[1], first[2] and second[2]


def was_there_before(cases: HostileCases, name: str) -> Ended:
    """A job that was made long before another one finished its sink is not to overwrite those rows."""
    early = {**_overwriting(cases, name), "metadata": {"name": f"{name}-early", "namespace": cases.cluster.namespace}}
    early["spec"] |= {"images": IMAGES // 2, "suspend": True}
    is_taken, told = cases.create(early)
    assert is_taken, told
    cases.until(lambda: None, 1.5 * CLOCKS_DIFFER_S)
    first = _succeeds(cases, name, _overwriting(cases, name), images=IMAGES)
    goes_on = ("patch", "infj", f"{name}-early", "--type=merge", "-p", '{"spec": {"suspend": false}}')
    insist(cases.world, cases.cluster, *goes_on)
    status = cases.over(f"{name}-early", MAX_S).get("status", {})
    cases.delete("infj", f"{name}-early")
    rows = _rows(cases, name)
    message = status.get("message", "")
    return (
        status.get("phase", "Unfinished"),
        f"{len(rows)} rows of the other job; {message}",
        (first[2] and status.get("phase") == "Failed" and rows == list(range(IMAGES))),
    )


def is_emptied(cases: HostileCases, name: str) -> Ended:
    """A sink that somebody empties while its job runs."""
    document = hostile_job(cases.cluster, name, deadline=DEADLINE, images=MANY_IMAGES)
    is_taken, told = cases.create(document)
    assert is_taken, told
    folder = _folder(cases, name)
    cases.until(lambda: parts_in(folder))
    _empty(folder)
    return _ends(cases, name, images=MANY_IMAGES, may_fail=True)


def is_emptied_when_done(cases: HostileCases, name: str) -> Ended:
    """A sink that somebody empties when its job is done; then the job's status is lost."""
    ended = _succeeds(cases, name, _overwriting(cases, name), images=IMAGES, is_kept=True)
    _empty(_folder(cases, name))
    _wipe(cases, name)
    again = _ends(cases, name, images=IMAGES)
    return again[0], again[1], ended[2] and again[2]


def _overwriting(cases: HostileCases, name: str) -> Document:
    sink = {"uri": "/data/rows", "ifExists": "Overwrite"}
    return hostile_job(cases.cluster, name, deadline=DEADLINE, images=IMAGES, sink=sink)


def _succeeds(
    cases: HostileCases, name: str, document: Document, *, images: int, folder: str = "", is_kept: bool = False
) -> Ended:
    """Create the job and return how it ends."""
    is_taken, told = cases.create(document)
    assert is_taken, told
    return _ends(cases, name, images=images, folder=folder, is_kept=is_kept)


def _ends(
    cases: HostileCases, name: str, *, images: int, folder: str = "", may_fail: bool = False, is_kept: bool = False
) -> Ended:
    """Return how the job ends, which is with a row for each image; or Failed with a sentence, if it may."""
    status = cases.over(name, MAX_S).get("status", {})
    if not is_kept:
        cases.delete("infj", name)
    phase, message = status.get("phase", "Unfinished"), status.get("message", "")
    if phase == "Failed" and may_fail:
        return phase, message, bool(message)
    rows = _rows(cases, folder or name) if phase == "Succeeded" else []
    is_whole = rows == list(range(images))
    return phase, f"{len(rows)} rows of {images} images{'' if is_whole else ', not one for each'}; {message}", is_whole


def _rows(cases: HostileCases, name: str) -> list[int]:
    """Return the indices of the rows that `_SUCCESS` lists."""
    results = dueby.read(_folder(cases, name))
    return sorted([*results.rows["index"].to_pylist(), *results.errors["index"].to_pylist()])


def _folder(cases: HostileCases, name: str) -> Path:
    return share_folder(cases.cluster, name) / "rows"


def _times(cases: HostileCases, name: str) -> dict[str, int]:
    return {part.name: part.stat().st_mtime_ns for part in parts_in(_folder(cases, name))}


def _wipe(cases: HostileCases, name: str) -> None:
    patch = '[{"op": "remove", "path": "/status"}]'
    command = ("patch", "infj", name, "--subresource=status", "--type=json", "-p", patch)
    is_done, told = insist(cases.world, cases.cluster, *command)
    assert is_done, told


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


SINK_CASES: dict[str, Case] = {
    "a spec of 60 KB, which runs": nearly_too_long,
    "a finished job whose status is lost": loses_its_status,
    "a finished job that Velero restores": is_restored,
    "a job that overwrites what another has finished": is_applied_again,
    "a job that was there before another finished its sink": was_there_before,
    "a sink that is emptied beneath its job": is_emptied,
    "a finished sink that is emptied, of a job whose status is lost": is_emptied_when_done,
}
