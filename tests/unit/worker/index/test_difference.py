"""Which images of a source a sink doesn't know, and how many that it knows are gone."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from dueby_worker.index.difference import compare_images

# Texts of which some are the beginnings of others, as names are.
NAMES = st.text("ab#/0", max_size=4)
URIS = st.lists(NAMES)
VERSIONS = st.sampled_from(("0", "1", "f"))


@given(URIS, URIS)
def test_it_is_the_difference_of_two_sets_in_the_order_of_the_source(uris: list[str], known: list[str]) -> None:
    with TemporaryDirectory() as scratch:
        found = compare_images(
            ((uri, "") for uri in uris), ((uri, "") for uri in known), images=len(uris), scratch=Path(scratch)
        )
    assert found.is_new.tolist() == [uri not in known for uri in uris]
    assert (found.images, found.new) == (len(uris), sum(uri not in known for uri in uris))
    assert found.gone == len(set(known) - set(uris))
    assert not any(found.replaced_by(place) for place in range(len(uris)))


@given(st.dictionaries(NAMES, VERSIONS), st.lists(st.tuples(NAMES, VERSIONS)))
def test_of_another_version_the_last_row_that_the_sink_has_is_replaced(
    files: dict[str, str], known: list[tuple[str, str]]
) -> None:
    listed = sorted(files.items())
    with TemporaryDirectory() as scratch:
        found = compare_images(listed, known, images=len(listed), scratch=Path(scratch))
    newest = {uri: (row, version) for row, (uri, version) in enumerate(known)}
    for place, (uri, version) in enumerate(listed):
        row, before = newest.get(uri, (None, None))
        assert found.is_new[place] == (version != before)
        assert found.replaced_by(place) == (row if version != before else None)
    assert found.gone == len(set(newest) - set(files))
