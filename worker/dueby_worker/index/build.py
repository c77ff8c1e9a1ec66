"""Build the frozen index of a source: list its images, freeze and sample them, and put the result into the sink.

An index that the same InferenceJob has made is taken as it is. For any other job or run the source is listed again. The
same images are the same index, whatever the source is called. Where they differ, the job is refused with what differs:
its rows would be taken for those of all images.
"""

import json
from collections.abc import Callable
from contextlib import closing

from dueby_api.errors import Invalid
from dueby_api.input_cost import InputCost
from dueby_api.source import Source
from dueby_api.step_config import MAX_PIXELS
from dueby_api.words import counted
from dueby_worker.images.fetch import Fetcher
from dueby_worker.images.isolation import IsolatedDecoder
from dueby_worker.index.difference import Difference, compare_images
from dueby_worker.index.freeze import FrozenFiles, freeze
from dueby_worker.index.frozen_index import (
    DOCUMENT,
    FORMAT,
    Index,
    IndexDocument,
    IndexSummary,
    chunk_path,
    describe_synthetic,
    find_index,
    open_index,
    sized,
)
from dueby_worker.index.listing import canonical_source, field_of
from dueby_worker.index.sampling import choose, describe_failure, neighbours, sample_files
from dueby_worker.models.preprocessing import Preprocessing
from dueby_worker.storage.retry import RetryPolicy
from dueby_worker.storage.store import Store
from dueby_worker.system.scratch import scratch_folder

# Listing is the first request to a store. A wrong address should be noticed in a minute, not at the deadline.
LISTING_RETRY = RetryPolicy(max_pause_s=10.0, total_s=60.0)

OnProgress = Callable[[str, int], None]
_OTHER_IMAGES = "use another sink, or set sink.ifExists: Overwrite to classify all of them again"
_GO_ON = " If all of them are to have a row with an error, set source.allowUnreadable: true."


def build_index(
    source: Source,
    sink: Store,
    *,
    limit: int | None,
    preprocessing: Preprocessing,
    max_pixels: int = MAX_PIXELS,
    replace: bool = False,
    is_own: bool = False,
    require_unchanged: Callable[[], None] = lambda: None,
    on_progress: OnProgress = lambda stage, count: None,
    retry: RetryPolicy = LISTING_RETRY,
) -> IndexSummary:
    """List, freeze and sample the source, put the index into the sink unless it is synthetic, and return its summary.

    An index of the same images that is in the sink stays, unless `replace`; one of others raises Invalid, unless it
    `is_own`: then this very job has made it of the images that there were.
    `on_progress` is called with "listing", "freezing" or "sampling" and the number of images.
    """
    is_tolerant, allows_unreadable = source.decode == "tolerant", source.allow_unreadable
    source = sized(canonical_source(source), preprocessing)
    if source.synthetic is not None:
        return describe_synthetic(source, limit, preprocessing).summary
    found = None if replace else find_index(sink)
    if found is not None and is_own and (found.document.source, found.document.limit) == (source, limit):
        return found.document.summary
    decoder = IsolatedDecoder(preprocessing=preprocessing, max_pixels=max_pixels, processes=1, is_tolerant=is_tolerant)
    with closing(decoder), scratch_folder("index") as scratch:
        frozen = freeze(source, scratch, limit, on_progress, retry)
        if found is not None:
            _require_same_images(found, frozen, source, limit)
            _require_same_words(found, frozen, source)
            return _rename(found, source, limit)
        fetcher = Fetcher(retry=retry, give_up_after_s=retry.total_s, field=field_of(source))
        cost, witnesses = _sample(
            frozen, source, decoder, fetcher, on_progress=on_progress, allows_unreadable=allows_unreadable
        )
        for number in range(frozen.chunks):
            # One of the same images has the same path. What is there may be damaged, and the reason to overwrite.
            put = sink.replace if replace else sink.create
            put(chunk_path(frozen.kept_digest or frozen.digest, number), frozen.chunk(number).read_bytes())
    summary = IndexSummary(
        images=frozen.images, digest=frozen.digest, input_cost=cost, unlisted=frozen.unlisted, kept=frozen.kept_digest
    )
    document = IndexDocument(
        format=FORMAT,
        source=source,
        limit=limit,
        summary=summary,
        witnesses=witnesses,
        chunk_digests=frozen.chunk_digests,
        named_by=source,
        kept_types=dict(frozen.kept_types),
    )
    if replace:
        require_unchanged()
    return _commit(sink, document, replace=replace)


def _sample(
    frozen: FrozenFiles,
    source: Source,
    decoder: IsolatedDecoder,
    fetcher: Fetcher,
    *,
    on_progress: OnProgress,
    allows_unreadable: bool,
) -> tuple[InputCost, tuple[str, ...]]:
    """Return what an image costs, and witnesses. Raise Invalid if none can be read, unless that is allowed."""
    chosen = choose(frozen.images, seed=frozen.digest)
    if source.parquet is not None:
        chosen = neighbours(chosen, frozen.rows, images_in_all=frozen.images)
    rows = frozen.rows(chosen)
    cost, witnesses = sample_files(
        rows, decoder=decoder, fetcher=fetcher, on_progress=lambda count: on_progress("sampling", count)
    )
    if not cost.sampled and not allows_unreadable:
        failure = describe_failure(rows[0], decoder=decoder, fetcher=fetcher)
        sampled = counted(len(rows), "sampled image")
        raise Invalid(field_of(source), f"none of {sampled} can be read; {failure}{_GO_ON}")
    return cost, witnesses


def _commit(sink: Store, document: IndexDocument, *, replace: bool) -> IndexSummary:
    """Write the document. Return its summary, or that of another process that was faster."""
    data = json.dumps(document.document(), indent=1).encode()
    if replace:
        sink.replace(DOCUMENT, data)
    elif not sink.create(DOCUMENT, data):
        return _require_same(open_index(sink), document.source, document.limit)
    return document.summary


def _rename(found: Index, source: Source, limit: int | None) -> IndexSummary:
    """Note by what source and limit the index is known now, and return its summary.

    Workers compare their job's source with the index's.
    """
    document = found.document.replace(source=source, limit=limit)
    if document != found.document:
        found.store.replace(DOCUMENT, json.dumps(document.document(), indent=1).encode())
    return document.summary


def _require_same_images(found: Index, frozen: FrozenFiles, source: Source, limit: int | None) -> None:
    """Raise Invalid, with what differs, unless the index is of the images that were listed."""
    if found.digest == frozen.digest:
        return
    known = found.uris_of_all()
    difference = compare_images(frozen.uris(), known, images=frozen.images, scratch=frozen.folder)
    raise Invalid(found.store.field, f"{_difference_words(difference, found, source, limit)}; {_OTHER_IMAGES}")


def _difference_words(difference: Difference, found: Index, source: Source, limit: int | None) -> str:
    new, sink = difference.new, found.store.uri
    if not new and not difference.gone:
        return f"files of {field_of(source)} were written again since the results in {sink} were begun"
    limited = "" if limit is None else f" up to spec.images: {limit}"
    listed = f"the source has {counted(difference.images, 'image')}{limited}"
    words = f"{listed}, the results in {sink} are for {difference.images - new:,} of them"
    return f"{words} and for {counted(difference.gone, 'other')}" if difference.gone else words


def _require_same_words(found: Index, frozen: FrozenFiles, source: Source) -> None:
    """Raise Invalid, with what differs, unless the index has what the source says of its images beside their URIs."""
    known, sink = found.document, found.store.uri
    if known.source.keep != source.keep:
        was, now = (", ".join(keep) or "nothing" for keep in (known.source.keep, source.keep))
        raise Invalid(found.store.field, f"the results in {sink} keep {was} of the source, now {now}; {_OTHER_IMAGES}")
    if known.named_by is not None and known.summary.kept != frozen.kept_digest:
        words = f"the source has other names or other kept values than when the results in {sink} were begun"
        raise Invalid(found.store.field, f"{words}; {_OTHER_IMAGES}")


def _require_same(found: Index, source: Source, limit: int | None) -> IndexSummary:
    """Return the summary of an index that is there. Raise Invalid if it is one of another source or limit."""
    there = found.document
    if (there.source, there.limit) != (source, limit):
        raise Invalid(
            found.store.field,
            f"{found.store.uri} holds the index of another source or another limit ({there.source.document()}, "
            f"images: {there.limit}); use another sink, or set sink.ifExists: Overwrite",
        )
    return there.summary
