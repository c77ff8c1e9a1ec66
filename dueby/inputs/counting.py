"""How many images a job has that doesn't say so, as far as that can be known without asking a store.

`dueby plan` answers at once and has no credentials. A source on this machine is listed, as the index step would; of one
elsewhere somebody has to say N.
"""

from dueby.inputs.needs import needing
from dueby_api.errors import Invalid
from dueby_api.inference_job import MAX_N, InferenceJob

_FIELD = "spec.images"


def with_images(job: InferenceJob, images: int | None = None, *, is_here: bool = True) -> InferenceJob:
    """Return the job with its number of images: its own, or these, or those of a source on this machine.

    Paths are of this machine only if the job `is_here`. Raise Invalid if nobody knows, or if the source has none.
    """
    if job.spec.images is not None:
        return job
    if images is not None and not (isinstance(images, int) and 1 <= images <= MAX_N):
        raise Invalid("images", f"must be a whole number from 1 to {MAX_N:,}, but is {images!r}")
    if images is None and not is_here:
        raise Invalid(_FIELD, "is missing, and the cluster counts them once the job is there; say --images N")
    return job.replace(spec=job.spec.replace(images=_count(job) if images is None else images))


def _count(job: InferenceJob) -> int:
    from dueby_worker.storage.uris import canonical_uri, scheme_of

    source = job.spec.source
    uri = source.manifest.uri if source.manifest else source.images_uri or ""
    try:
        is_here = scheme_of(canonical_uri(uri)) == "file"
    except ValueError as error:
        raise Invalid("spec.source", str(error)) from None
    if not is_here:
        raise Invalid(
            _FIELD, f"is missing, and {uri} is not on this machine; say --images N, or set it in the manifest"
        )
    with needing("plan", "worker"):
        from dueby_worker.index.freeze import count_images
    return count_images(source)
