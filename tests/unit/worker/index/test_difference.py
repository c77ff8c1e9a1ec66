"""Which images of a source a sink doesn't know, and how many that it knows are gone."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from dueby_worker.index.difference import compare_images

# Texts of which some are the beginnings of others, as names are.
URIS = st.lists(st.text("ab#/0", max_size=4))


@given(URIS, URIS)
def test_it_is_the_difference_of_two_sets_in_the_order_of_the_source(uris: list[str], known: list[str]) -> None:
    with TemporaryDirectory() as scratch:
        found = compare_images(uris, known, images=len(uris), scratch=Path(scratch))
    assert found.is_new.tolist() == [uri not in known for uri in uris]
    assert (found.images, found.new) == (len(uris), sum(uri not in known for uri in uris))
    assert found.gone == len(set(known) - set(uris))
