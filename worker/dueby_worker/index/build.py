"""Build the frozen index of a source: list its images, freeze and sample them, and put the result into the sink.

An index that the same InferenceJob has made is taken as it is. For any other job or run the source is listed again. The
same images are the same index, whatever the source is called. Where they differ, the job is refused with what differs:
its rows would be taken for those of all images. A job that adds to the sink has an index of what is new.
"""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace as replaced

from dueby_api.errors import Invalid
from dueby_api.input_cost import InputCost
from dueby_api.source import Source
from dueby_api.step_config import MAX_PIXELS
from dueby_api.words import counted
from dueby_worker.images.fetch import READERS, Fetcher
from dueby_worker.images.isolation import IsolatedDecoder
from dueby_worker.index.additions import (
    indexes_before,
    is_alike,
    require_same_images,
    require_same_words,
    require_versions,
    take_new,
)
from dueby_worker.index.freeze import FrozenFiles, freeze
from dueby_worker.index.frozen_index import (
    FORMAT,
    ROWS,
    Index,
    IndexDocument,
    IndexSummary,
    describe_synthetic,
    find_index,
    open_index,
    sized,
)
from dueby_worker.index.listing import canonical_source, field_of
from dueby_worker.index.sampling import choose, describe_failure, neighbours, sample_files
from dueby_worker.models.preprocessing import Preprocessing
from dueby_worker.storage.kept_answers import KeptAnswers
from dueby_worker.storage.retry import RetryPolicy
from dueby_worker.storage.store import Store
from dueby_worker.system.temporary_files import scratch_folder

# Listing is the first request to a store. A wrong address should be noticed in a minute, not at the deadline.
LISTING_RETRY = RetryPolicy(max_pause_s=10.0, total_s=60.0)

OnProgress = Callable[[str, int], None]
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
    is_adding: bool = False,
    changed: bool = False,
    generation: int = 1,
    uid: str | None = None,
    before_commit: Callable[[], None] = lambda: None,
    on_progress: OnProgress = lambda stage, count: None,
    retry: RetryPolicy = LISTING_RETRY,
) -> Index | None:
    """List, freeze and sample the source, put the index into the sink unless it is synthetic, and return it.

    An index of the same images that is in the sink stays, unless `replace`; one of others raises Invalid, unless it
    `is_own`: then the job goes on with the images that there were. In a `generation` after the first one, an index that
    is replaced is of the images that no earlier one has, and of those whose files have `changed`; None if there are
    none. Who `is_adding` has the files' versions noted, for those who ask for changes later.
    What a process with the same `uid` was answered before it was killed is not asked for again.
    `on_progress` is called with "listing", "freezing", "sampling" or "writing" and the number of images.
    """
    is_tolerant, allows_unreadable = source.decode == "tolerant", source.allow_unreadable
    wanted = preprocessing.in_color(source.color)
    source = sized(canonical_source(source), preprocessing)
    if source.synthetic is not None:
        return Index(store=sink, document=describe_synthetic(source, limit, preprocessing))
    existing = None if replace else find_index(sink, generation)
    if existing is not None and is_own and is_alike(existing.document.source, source):
        return _rename(existing, source, limit)
    decoder = IsolatedDecoder(preprocessing=wanted, max_pixels=max_pixels, processes=1, is_tolerant=is_tolerant)
    with closing(decoder), scratch_folder("index") as scratch, KeptAnswers(sink, scratch, owner=uid) as answers:
        most = limit if generation == 1 else None
        frozen = freeze(source, scratch, most, on_progress, retry, with_versions=is_adding, answers=answers)
        if changed:
            require_versions(frozen, sink, generation)
        if existing is not None:
            require_same_images(existing, frozen, source, limit)
            require_same_words(existing, frozen, source)
            return _rename(existing, source, limit)
        earlier = indexes_before(sink, generation)
        if generation > 1:
            new = take_new(frozen, earlier, source, scratch, limit, on_progress, changed=changed)
            if new is None:
                return None
            # A night's only new image may be a damaged one.
            frozen, allows_unreadable = new, True
        cost, witnesses = _sample(source, frozen, decoder, retry, on_progress, allows_unreadable=allows_unreadable)
        document = _describe(frozen, source, limit, cost, witnesses, earlier)
        _put_files(frozen, document, sink, on_progress, replace=replace)
        if replace:
            before_commit()
        return _commit(Index(store=sink, document=document, generation=generation), replace=replace)


def _describe(
    frozen: FrozenFiles,
    source: Source,
    limit: int | None,
    cost: InputCost,
    witnesses: tuple[str, ...],
    earlier: Sequence[Index],
) -> IndexDocument:
    summary = IndexSummary(
        images=frozen.images, digest=frozen.digest, input_cost=cost, unlisted=frozen.unlisted, kept=frozen.kept_digest
    )
    return IndexDocument(
        format=FORMAT,
        source=source,
        limit=limit,
        summary=summary,
        witnesses=witnesses,
        chunk_digests=frozen.chunk_digests,
        named_by=source,
        kept_types=dict(frozen.kept_types),
        first_image=sum(index.images for index in earlier) or None,
        versions=frozen.versions_digest,
        replaced=frozen.replaced + (earlier[-1].document.replaced if earlier else 0),
    )


def _put_files(
    frozen: FrozenFiles, document: IndexDocument, sink: Store, on_progress: OnProgress, *, replace: bool
) -> None:
    # One of the same images has the same path. What is there may be damaged, and the reason to overwrite.
    put = sink.replace if replace else sink.create

    def put_file(number: int) -> None:
        put(document.chunk_path(number), frozen.chunk(number).read_bytes())

    with ThreadPoolExecutor(READERS, thread_name_prefix="files") as pool:
        for number, _ in enumerate(pool.map(put_file, range(frozen.chunks)), 1):
            on_progress("writing", min(number * ROWS, frozen.images))


def _sample(
    source: Source,
    frozen: FrozenFiles,
    decoder: IsolatedDecoder,
    retry: RetryPolicy,
    on_progress: OnProgress,
    *,
    allows_unreadable: bool,
) -> tuple[InputCost, tuple[str, ...]]:
    """Return what images cost, and some that can be read. Raise Invalid if none can, unless that is allowed."""
    chosen = choose(frozen.images, seed=frozen.digest)
    if source.parquet is not None:
        chosen = neighbours(chosen, frozen.rows, images_in_all=frozen.images)
    rows = frozen.rows(chosen)
    fetcher = Fetcher(retry=retry, give_up_after_s=retry.total_s, field=field_of(source))
    cost, witnesses = sample_files(
        rows, decoder=decoder, fetcher=fetcher, on_progress=lambda count: on_progress("sampling", count)
    )
    if not cost.sampled and not allows_unreadable:
        failure = describe_failure(rows[0], decoder=decoder, fetcher=fetcher)
        sampled = counted(len(rows), "sampled image")
        raise Invalid(field_of(source), f"none of {sampled} can be read; {failure}{_GO_ON}")
    return cost, witnesses


def _commit(index: Index, *, replace: bool) -> Index:
    """Write the document. Return the index, or that of another process that was faster."""
    if replace:
        _write(index)
    elif not index.store.create(index.path, _encode(index.document)):
        return _require_same(open_index(index.store), index.document.source, index.document.limit)
    return index


def _write(index: Index) -> None:
    index.store.replace(index.path, _encode(index.document))


def _encode(document: IndexDocument) -> bytes:
    return json.dumps(document.document(), indent=1).encode()


def _rename(index: Index, source: Source, limit: int | None) -> Index:
    """Note by what source and limit the index is known now, and return it.

    Workers compare their job's source with the index's.
    """
    document = index.document.replace(source=source, limit=limit)
    if document == index.document:
        return index
    renamed = replaced(index, document=document)
    _write(renamed)
    return renamed


def _require_same(index: Index, source: Source, limit: int | None) -> Index:
    """Return an index that is there. Raise Invalid if it is one of another source or limit."""
    document = index.document
    if (document.source, document.limit) != (source, limit):
        raise Invalid(
            index.store.field,
            f"{index.store.uri} holds the index of another source or another limit ({document.source.document()}, "
            f"images: {document.limit}); use another sink, or set sink.ifExists: Overwrite",
        )
    return index
