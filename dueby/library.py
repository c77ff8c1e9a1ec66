"""The functions that `import dueby` offers: a plan as `dueby plan` makes it, and the rows of a sink.

They raise the errors of `dueby_api.errors` with the sentences that the command prints.
"""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from dueby.cli.manifests import read_job
from dueby.cli.places import require_places
from dueby.cli.plan import judge_job
from dueby_api.errors import Invalid
from dueby_api.inference_job import parse_job
from dueby_api.plan import PlanAnswer
from dueby_planner.answer import plan_answer

if TYPE_CHECKING:
    from dueby.report.parts import Table

AnyPath: TypeAlias = str | os.PathLike[str]


def plan(
    job: AnyPath | Mapping[str, object],
    *,
    profiles: AnyPath | Sequence[AnyPath] = (),
    pool: Mapping[str, int] | None = None,
) -> PlanAnswer:
    """Return what `dueby plan -o json` prints for a job, which is a manifest's path or its content.

    `profiles` are files or folders of GPUProfiles, by default this machine's. `pool` has the number of devices by
    class, by default those that were profiled on this machine. Infeasible jobs are no error: `feasible` is False then,
    and `alternatives` says what could be asked for instead.

        dueby.plan("job.yaml", profiles="profiles", pool={"NVIDIA-L4": 8}).gpus
    """
    parsed = parse_job(job) if isinstance(job, Mapping) else read_job(os.fspath(job))
    require_places(parsed.spec)
    paths = [profiles] if isinstance(profiles, str | os.PathLike) else profiles
    return plan_answer(judge_job(parsed, paths=[os.fspath(path) for path in paths], counts=dict(pool or {})))


def read_results(sink: AnyPath) -> "Table":
    """Return the rows in a job's sink as a pyarrow Table, sorted by index; of a running job, those of finished parts.

    `sink` is the job's sink.uri: a folder, s3:// or gs://, with the credentials that the job uses. The columns are
    index, uri, classes, labels and scores (the best answer first), error, which is null for a classified image, and
    warning, which says what is wrong with the file of an image that was classified all the same.

        rows = dueby.read_results("results").to_pandas()
        rows[rows.error.notna()]
    """
    try:
        from dueby.report.parts import find_parts, read_table
        from dueby_worker.storage.stores import open_store
    except ModuleNotFoundError as error:
        raise Invalid("read_results", f"needs {error.name}; install it with: pip install 'dueby[worker]'") from error

    store = open_store(os.fspath(sink), field="sink")
    parts = find_parts(store.list_names())
    if not parts:
        raise Invalid("sink", f"{store.uri} has no results (yet); give the job's sink.uri")
    return read_table(parts, store.read)
