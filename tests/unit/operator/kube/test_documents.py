"""What the API server sends is read, however deep one tenant has nested a field that is free."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_api.errors import Transient
from dueby_operator.kube.documents import MAX_DEPTH, Page, read_as, read_document

DAMAGED = b'{"metadata": {"continue": "\xff"}}'
NASTY = '{"a":[' * 2000 + '"]}"' + "]}" * 2000


def test_of_a_list_with_one_object_nested_too_deeply_the_others_are_read_whole() -> None:
    good = {"metadata": {"name": "good", "note": 'a "[{\\" in a text'}, "spec": {"volumes": [{"name": "v"}]}}
    text = f'{{"items": [{json.dumps(good)}, {{"metadata": {{"name": "deep"}}, "spec": {NASTY}}}, {json.dumps(good)}]}}'
    with pytest.raises(RecursionError):
        json.loads(text)
    first, deep, last = (json.loads(bytes(item)) for item in read_as(Page, text.encode()).items or ())
    assert first == last == good
    assert deep["metadata"] == {"name": "deep"}
    assert depth_of(deep) < MAX_DEPTH


def depth_of(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(depth_of, inner), default=0)


@pytest.mark.parametrize("read", [read_document, partial(read_as, Page)])
@pytest.mark.parametrize("text", ["", "[]", "null", "<html>", '{"a": ', NASTY[:9000], "[" * 9000, DAMAGED])
def test_what_is_no_document_is_tried_again_later(text: str | bytes, read: Callable[[bytes], object]) -> None:
    with pytest.raises(Transient, match="the API server: "):
        read(text if isinstance(text, bytes) else text.encode())


@given(st.dictionaries(st.text(), st.recursive(st.text() | st.integers(), lambda inner: st.lists(inner))))
def test_what_is_not_deep_is_read_as_it_is(document: dict[str, Any]) -> None:
    page = read_as(Page, f'{{"deep": {NASTY}, "items": [{json.dumps(document)}]}}'.encode())
    assert [json.loads(bytes(item)) for item in page.items or ()] == [document]
