"""Jobs in manifests: a document each, several to a file, Lists and standard input, as kubectl takes them.

Documents of other kinds are for a cluster, such as the claim for the job's rows, and are left out. What has no kind, or
one of DueBy's that there isn't, is refused rather than left out: it was meant to be a job.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dueby.inputs.files import documents_in
from dueby.inputs.places import require_places, require_sinks_apart
from dueby_api.errors import Invalid
from dueby_api.inference_job import InferenceJob, parse_job
from dueby_api.words import counted

# Characters of a file. No job has more, since the API server of a cluster takes no object of 1.5 MiB.
MAX_JOBS = 2**20


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A job, and where it was read."""

    job: InferenceJob
    file: str
    origin: str
    """The file, with the number of the document if there are several."""
    document: Mapping[str, Any]
    """As it was written; a cluster also takes what `job` leaves out, such as labels."""

    @property
    def name(self) -> str:
        return self.job.metadata.name


def add_jobs(parser: argparse.ArgumentParser, *, several: str, usual_profiles: str) -> None:
    """Add the arguments that name jobs and profiles: what becomes of several jobs, and which profiles are usual."""
    parser.add_argument(
        "-f",
        "--file",
        action="append",
        required=True,
        metavar="JOB",
        help=f"a file of InferenceJobs; - is standard input; several jobs {several}",
    )
    parser.add_argument(
        "--profiles",
        action="append",
        default=[],
        metavar="PATH",
        help=f"a file or folder of GPUProfiles; may be repeated (default: {usual_profiles})",
    )


def read_manifests(files: Sequence[str]) -> list[Manifest]:
    """Return the jobs in the files, in their order; `-` is standard input.

    Raise Invalid if a file has none, if two have one name or one sink, or if one reads or writes where nothing can be.
    """
    return together([manifest for file in files for manifest in _manifests_in(file)])


def together(manifests: list[Manifest]) -> list[Manifest]:
    """Return the jobs, which are run or planned together. Raise Invalid as `read_manifests` does."""
    firsts: dict[str, Manifest] = {}
    for manifest in manifests:
        first = firsts.setdefault(manifest.name, manifest)
        if first is not manifest:
            where = f", in {first.origin} and in {manifest.origin}" if first.origin != manifest.origin else ""
            raise Invalid("metadata.name", f"two jobs are named {manifest.name}{where}; give each a name of its own")
        with naming(manifest.job, is_one=len(manifests) == 1):
            require_places(manifest.job.spec)
    require_sinks_apart([manifest.job.spec for manifest in manifests])
    return manifests


def read_job(file: str, *, name: str | None = None) -> InferenceJob:
    """Return the one job in the file, or of several the one with the name, as `read_manifest` does."""
    return read_manifest(file, name=name).job


def read_manifest(file: str, *, name: str | None = None) -> Manifest:
    """Return the one job in the file, or of several the one with the name; `-` is standard input.

    Raise Invalid if there is none.
    """
    manifests = _manifests_in(file)
    chosen = manifests if len(manifests) == 1 else [manifest for manifest in manifests if name in (None, manifest.name)]
    if len(chosen) != 1:
        jobs = counted(len(chosen), "InferenceJob") if name is None else f"{len(chosen)} of name {name}"
        raise Invalid(file, f"expected one InferenceJob, found {jobs}")
    return chosen[0]


@contextmanager
def naming(job: InferenceJob, *, is_one: bool = False) -> Iterator[None]:
    """Name the job in what is refused of it, unless it is the only one."""
    try:
        yield
    except Invalid as error:
        if is_one:
            raise
        raise Invalid(error.field, f"{error.message} (job {job.metadata.name})") from None


def _manifests_in(file: str) -> list[Manifest]:
    documents = list(documents_in(file, most=MAX_JOBS))
    manifests = [
        Manifest(job=parse_job(document, origin=origin), file=file, origin=origin, document=document)
        for origin, document in documents
        if len(documents) == 1 or not _is_of_a_cluster(document)
    ]
    if not manifests:
        raise Invalid(file, f"expected an InferenceJob, found none among {counted(len(documents), 'document')}")
    return manifests


def _is_of_a_cluster(document: object) -> bool:
    """Return whether it is an object of a kind that this command has no use for."""
    if not isinstance(document, dict) or not isinstance(document.get("kind"), str):
        return False
    kind, is_ours = document["kind"], str(document.get("apiVersion")).startswith("dueby.dev/")
    return kind == "GPUProfile" or (kind != "InferenceJob" and not is_ours)
