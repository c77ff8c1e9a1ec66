"""What a job's source serves a second, to all its workers together, and what an image asks of it.

A store serves so many requests and bytes a second however many workers there are. What binds a job:

    spec.source.limits                   the job's own limits, for its workers alone
    the longest prefix in `stores`       what the cluster's administrator says of a store, shared by all jobs that
                                         read below the prefix (`stores` of the chart's values)
    status.observedStore                 what workers of the job's namespace were given together when the store refused
                                         more, shared by its jobs, if nobody says anything else
    DEFAULT_REQUESTS_PER_S               what the store's documentation promises, if nothing else is known

An entry of `stores` and a job's own number of requests take the place of the default: that is how to say that S3 has
split a prefix and serves more, or that a store has no limit. Of an entry and the job's own limits both bind. What was
observed, be it more or less, takes the place of the default alone, since the workers of one namespace may see a part.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated

from dueby_api.inference_job import JobSpec
from dueby_api.schema import Meta, Spec, matching
from dueby_api.source import ReadLimits, Source

DEFAULT_REQUESTS_PER_S: Mapping[str, int] = {"s3": 5_500, "gs": 5_000, "az": 20_000}
"""Read requests a second that a store is sure to serve, by URI scheme. No other scheme documents a number.

s3: at least 5,500 GET and HEAD requests a second for a prefix, and more once S3 has split a prefix that is read much
(docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html). Nobody outside knows where it has been
split, so a bucket counts as one prefix.
gs: a bucket's initial capacity is about 5,000 object reads a second, and Google takes minutes to raise it when more is
asked (cloud.google.com/storage/docs/request-rate).
az: 20,000 requests a second for a storage account, and in some regions 40,000
(learn.microsoft.com/azure/storage/common/scalability-targets-standard-account). A URI doesn't name its account, so each
container counts as one; an entry of `stores` for az:// makes them one.
"""

ENDPOINT_VARIABLES: Mapping[str, frozenset[str]] = {
    "s3": frozenset({"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"}),
    "az": frozenset({"AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT", "AZURE_STORAGE_USE_EMULATOR"}),
}
"""Variables that name another server than Amazon's or Microsoft's, which promises nothing, by URI scheme."""

AS_SEEN = " (as workers have seen it)"
"""How the name of a limit ends that was observed."""
_REQUESTS_PER_OBJECT = 1
"""Requests that a worker makes for an image that is an object of its own."""
_RUN_BYTES = 4 << 20
"""What a worker reads at once of neighbouring images in tars, Parquet files and Lance datasets."""
_ASSUMED_RUN = 50
"""Images that such a read has, as long as no sample has shown how large they are: photos of about 80 kB."""


class StoreLimits(ReadLimits, frozen=True, kw_only=True):
    """What a store serves to all jobs that read below a prefix. Without a limit: it has none."""

    prefix: Annotated[str, Meta(min_length=4, max_length=1024), matching(r"^[a-z][a-z0-9+.-]*://[^*?{}\[\]\s]*$")]
    """A URI such as s3://bucket/ or s3://bucket/photos/, without wildcards."""

    def covers(self, uri: str) -> bool:
        """Return whether the URI is the prefix or lies below it: s3://a does not cover s3://ab."""
        return uri == self.prefix or uri.startswith(f"{self.prefix.rstrip('/')}/") or self._is_scheme_of(uri)

    def _is_scheme_of(self, uri: str) -> bool:
        return self.prefix.endswith("://") and uri.startswith(self.prefix)


class StoreList(Spec, frozen=True, kw_only=True):
    """The value of the operator's option --stores."""

    stores: Annotated[tuple[StoreLimits, ...], Meta(max_length=1000)]

    def __post_init__(self) -> None:
        prefixes = [store.prefix.rstrip("/") for store in self.stores]
        if twice := next((prefix for prefix in prefixes if prefixes.count(prefix) > 1), None):
            raise ValueError(f"stores: names {twice} twice; give one entry")


@dataclass(frozen=True, kw_only=True)
class SourceLimit:
    """A limit that binds the workers of a job, together with those of other jobs unless it is the job's own."""

    name: str
    """The prefix of the store, such as s3://bucket; of the job's own limit spec.source.limits."""
    is_own: bool = False
    """Whether it binds this job alone. Limits of one name that are not are one limit, which jobs share."""
    requests_per_s: int | None = None
    """None: no limit on requests."""
    bytes_per_s: int | None = None
    """None: no limit on bytes."""


OWN_LIMIT = "spec.source.limits"


def limits_of(
    spec: JobSpec, stores: Sequence[StoreLimits] = (), *, observed: float | None = None
) -> tuple[SourceLimit, ...]:
    """Return the limits that bind the job's workers; none for images that are made.

    `observed` are the requests a second that its store gave the workers of its namespace when it refused more.
    """
    if spec.source.synthetic is not None:
        return ()
    uri = _literal_uri(spec.source)
    shared = None if uri is None else _stated(uri, stores)
    own = spec.source.limits or ReadLimits()
    if uri is not None and shared is None and own.requests_per_second is None:
        shared = _promised(uri, spec) if observed is None else _seen(uri, observed)
    found = [*([shared] if shared else []), _limit(OWN_LIMIT, own, is_own=True)]
    return tuple(each for each in found if each.requests_per_s is not None or each.bytes_per_s is not None)


def requests_per_image(source: Source, bytes_per_image: float = 0) -> Fraction:
    """Return the requests that an image costs; `bytes_per_image` is the mean of a sample, 0 if there is none.

    Neighbours in tars, Parquet files and Lance datasets are read together.
    """
    if source.synthetic is not None:
        return Fraction(0)
    if is_of_single_objects(source):
        return Fraction(_REQUESTS_PER_OBJECT)
    return requests_in_runs(bytes_per_image)


def requests_in_runs(bytes_per_image: float) -> Fraction:
    """Return the requests that an image costs which is read together with its neighbours, such as in a tar."""
    if bytes_per_image > 0:
        return min(Fraction(_REQUESTS_PER_OBJECT), Fraction(bytes_per_image) / _RUN_BYTES)
    return Fraction(1, _ASSUMED_RUN)


def is_of_single_objects(source: Source) -> bool:
    """Return whether each image is an object of its own, as far as the source's URI says."""
    if source.uri is not None:
        return not source.uri.lower().endswith(".tar")
    return source.manifest is not None


def _literal_uri(source: Source) -> str | None:
    """Return where all images lie below, without wildcards; None if nothing is known of that."""
    if source.manifest is not None:
        # Its rows may lie anywhere if any_host is set; otherwise they lie where the list does.
        return None if source.manifest.any_host else source.manifest.uri
    uri = source.images_uri
    if uri is None:
        return None
    wild = min((place for mark in "*?{[" if (place := uri.find(mark)) >= 0), default=None)
    return uri if wild is None else uri[: uri.rfind("/", 0, wild) + 1]


def _stated(uri: str, stores: Sequence[StoreLimits]) -> SourceLimit | None:
    covering = [store for store in stores if store.covers(uri)]
    if not covering:
        return None
    store = max(covering, key=lambda each: len(each.prefix))
    return _limit(store.prefix, store, is_own=False)


def _promised(uri: str, spec: JobSpec) -> SourceLimit | None:
    """Return what the store's documentation promises for the bucket."""
    scheme, separator, _ = uri.partition("://")
    scheme = scheme.lower()
    requests = DEFAULT_REQUESTS_PER_S.get(scheme) if separator else None
    elsewhere = ENDPOINT_VARIABLES.get(scheme, frozenset())
    if requests is None or any(variable.name in elsewhere for variable in spec.worker.env):
        return None
    return SourceLimit(name=_root_of(uri), requests_per_s=requests)


def store_root(source: Source) -> str | None:
    """Return the bucket or host that all images are read from, such as s3://photos; None if nothing is known of it."""
    uri = None if source.synthetic is not None else _literal_uri(source)
    return _root_of(uri) if uri and uri.partition("://")[2] else None


def _root_of(uri: str) -> str:
    scheme, _, path = uri.partition("://")
    return f"{scheme}://{path.partition('/')[0]}"


def _seen(uri: str, requests_per_s: float) -> SourceLimit:
    return SourceLimit(name=f"{_root_of(uri)}{AS_SEEN}", requests_per_s=max(1, round(requests_per_s)))


def _limit(name: str, limits: ReadLimits, *, is_own: bool) -> SourceLimit:
    return SourceLimit(
        name=name,
        is_own=is_own,
        requests_per_s=limits.requests_per_second,
        bytes_per_s=limits.bytes_per_second,
    )
