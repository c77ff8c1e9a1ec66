"""The table of schemes and the store classes that it names agree."""

import inspect

import pytest

from dueby_api.errors import Invalid
from dueby_api.references import resolve
from dueby_api.schemes import SCHEMES, SchemeEntry
from dueby_worker.storage.store import ReadOnlyStore, Store
from dueby_worker.storage.stores import open_store
from support.index import HURRIED

URIS = {
    "file": "file:///folder",
    "s3": "s3://bucket/x",
    "gs": "gs://bucket/x",
    "az": "az://container/x",
    "http": "http://host/x",
}
URIS["https"] = "https://host/x"
each_entry = pytest.mark.parametrize("entry", SCHEMES.values(), ids=lambda entry: entry.name)


@each_entry
def test_a_scheme_names_a_store_with_the_whole_interface(entry: SchemeEntry) -> None:
    store = resolve(entry.store)

    assert issubclass(store, Store)
    assert not inspect.isabstract(store)
    assert list(inspect.signature(store).parameters) == ["uri", "field", "retry"]


@each_entry
def test_a_uri_opens_the_store_of_its_scheme(entry: SchemeEntry) -> None:
    store = open_store(URIS[entry.name], retry=HURRIED)

    assert type(store) is resolve(entry.store)
    assert store.uri == URIS[entry.name]


@each_entry
def test_a_scheme_is_writable_unless_its_store_is_read_only(entry: SchemeEntry) -> None:
    assert entry.is_writable is not issubclass(resolve(entry.store), ReadOnlyStore)


@each_entry
def test_the_kind_of_a_scheme_says_what_stands_after_its_slashes(entry: SchemeEntry) -> None:
    missing = {"bucket": "has no bucket after", "web": "has no host after"}
    if entry.kind in missing:
        with pytest.raises(Invalid, match=missing[entry.kind]):
            open_store(f"{entry.name}://")
    else:
        assert open_store("folder").uri.startswith(f"{entry.name}:///")
