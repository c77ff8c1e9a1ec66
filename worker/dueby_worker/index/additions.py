"""A source beside what a sink knows of it: nothing may differ, or only what is new is taken.

What a sink knows is in the indexes of all its generations. A generation is begun when every image of those before it
has its row, so an image that an index has is one that has a row, or is about to.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain, compress, count, islice
from pathlib import Path

from dueby_api.errors import Invalid
from dueby_api.source import ONLY_FILES, Source
from dueby_api.words import counted, noun_of, verb_of
from dueby_worker.images.within import Place
from dueby_worker.index.difference import Difference, compare_images
from dueby_worker.index.freeze import FrozenFiles, write_frozen
from dueby_worker.index.frozen_index import DOCUMENT, Index, find_index
from dueby_worker.index.kept import KeptColumns
from dueby_worker.index.listing import field_of, shards_of
from dueby_worker.storage.generations import newest_generation
from dueby_worker.storage.store import Store

CHANGED_FIELD = "spec.sink.changed"
_OTHERS = "use another sink, or set sink.ifExists: Overwrite to classify all of them again"


def indexes_before(sink: Store, generation: int) -> tuple[Index, ...]:
    """Return the indexes of the generations before this one. Raise Invalid if the sink lacks one."""
    return tuple(require_index(sink, number) for number in range(1, generation))


def require_index(sink: Store, generation: int) -> Index:
    """Return the index of a generation. Raise Invalid if the sink lacks it."""
    index = find_index(sink, generation)
    if index is None:
        raise Invalid(
            sink.field,
            f"{sink.uri} has no list of the images of its generation {generation}, so nobody knows what is new: its "
            "images were synthetic, or the list was deleted; use another sink",
        )
    return index


def take_new(
    frozen: FrozenFiles,
    earlier: Sequence[Index],
    source: Source,
    scratch: Path,
    limit: int | None,
    on_progress: Callable[[str, int], None],
    *,
    changed: bool = False,
) -> FrozenFiles | None:
    """Return the first `limit` images that no earlier index has, in their order; None if there are none.

    Those whose files have `changed` since are new, too. Raise Invalid if the source says other things of them than of
    those before.
    """
    difference = _compare(frozen, earlier, scratch, with_versions=changed)
    if not difference.new:
        return None
    places = compress(count(), difference.is_new)
    rows = (
        row._replace(replaces=difference.replaced_by(place))
        for place, row in zip(places, islice(frozen.rows_where(difference.is_new), limit))
    )
    (folder := scratch / "new").mkdir()
    kept = KeptColumns(source.keep)
    # As all images of the source have them, not only the new ones.
    kept.declare(frozen.kept_types, by=field_of(source))
    new = replace(write_frozen(rows, folder, kept, on_progress), unlisted=frozen.unlisted)
    _require_same_columns(earlier[-1], new)
    return new


def require_versions(frozen: FrozenFiles, sink: Store, generation: int) -> None:
    """Raise Invalid unless it is known of the source's files, and of those before this generation, what they were."""
    if not frozen.versions_digest:
        raise Invalid(CHANGED_FIELD, ONLY_FILES)
    lacking = [str(index.generation) for index in indexes_before(sink, generation) if not index.document.versions]
    if lacking:
        raise Invalid(
            CHANGED_FIELD,
            f"{sink.uri} doesn't say what its images' files were in {noun_of(len(lacking), 'generation')} "
            f"{', '.join(lacking)}, which a job without sink.ifExists: Append, an older DueBy or a list of images has "
            "made; leave it out, or use another sink",
        )


def _require_same_columns(before: Index, new: FrozenFiles) -> None:
    """Raise Invalid, with what differs, unless the rows have the columns of those before, which are read with them."""
    was, now = before.document.kept_types, dict(new.kept_types)
    if before.document.named_by is not None and was != now:
        told = (", ".join(f"{name} ({kind})" for name, kind in types.items()) or "nothing" for types in (was, now))
        kept_before, kept_now = told
        raise Invalid(
            before.store.field,
            f"the results in {before.store.uri} keep {kept_before} of the source, now {kept_now}; set source.keep as "
            "it was, or use another sink",
        )


def require_same_images(index: Index, frozen: FrozenFiles, source: Source, limit: int | None) -> None:
    """Raise Invalid, with what differs, unless the sink knows the images that were listed, and no others."""
    if index.generation == 1 and index.digest == frozen.digest:
        return
    earlier = indexes_before(index.store, index.generation)
    difference = _compare(frozen, (*earlier, index), frozen.folder)
    new, sink = difference.new, index.store.uri
    if not new and not difference.gone:
        if earlier:
            return
        raise Invalid(
            index.store.field,
            f"files of {field_of(source)} were written again since the results in {sink} were begun; {_OTHERS}",
        )
    limited = "" if limit is None or earlier else f" up to spec.images: {limit}"
    words = f"the source has {counted(frozen.images, 'image')}{limited}, the results in {sink} are for "
    words += f"{frozen.images - new:,} of them"
    if difference.gone:
        words += f" and for {counted(difference.gone, 'other')}"
    appends = f"sink.ifExists: Append classifies the {new:,} that {verb_of(new)} new"
    keeps = "sink.ifExists: Append keeps the rows that there are"
    raise Invalid(index.store.field, f"{words}: {appends if new else keeps}")


def find_places(sink: Store) -> Callable[[int], Place | None]:
    """Return the function from a row's index in the sink to where its image is, if that is within something larger."""
    indexes = indexes_before(sink, newest_generation(sink, DOCUMENT) + 1)
    firsts = [index.document.first_image or 0 for index in indexes]

    def place_of(image: int) -> Place | None:
        number = bisect_right(firsts, image) - 1
        member_of = indexes[number].member_of if number >= 0 else None
        return member_of(image - firsts[number]) if member_of else None

    return place_of


def require_same_words(index: Index, frozen: FrozenFiles, source: Source) -> None:
    """Raise Invalid, with what differs, unless the index has what the source says of its images beside their URIs."""
    document, sink = index.document, index.store.uri
    if document.source.keep != source.keep:
        was, now = (", ".join(keep) or "nothing" for keep in (document.source.keep, source.keep))
        raise Invalid(index.store.field, f"the results in {sink} keep {was} of the source, now {now}; {_OTHERS}")
    if index.generation == 1 and document.named_by is not None and document.summary.kept != frozen.kept_digest:
        words = f"the source has other names or other kept values than when the results in {sink} were begun"
        raise Invalid(index.store.field, f"{words}; {_OTHERS}")


def is_alike(one: Source, other: Source) -> bool:
    """Return whether images of both sources are read in the same way, and the same is kept of them."""
    return _kind_of(one) == _kind_of(other)


def _kind_of(source: Source) -> tuple[object, ...]:
    return source.parquet is not None, source.lance is not None, shards_of(source) is not None, source.keep


def _compare(
    frozen: FrozenFiles, indexes: Sequence[Index], scratch: Path, *, with_versions: bool = False
) -> Difference:
    uris = chain.from_iterable(index.uris_of_all(with_versions=with_versions) for index in indexes)
    return compare_images(frozen.uris(with_versions=with_versions), uris, images=frozen.images, scratch=scratch)
