"""A sink is one folder, of its own: neither the source nor in it, however the two are spelled."""

from typing import Any

import pytest

from dueby_api.errors import Invalid
from support.planner import job

EQUAL, INSIDE, AROUND = "is the folder of the source", "lies in the source", "contains the source"


@pytest.mark.parametrize(
    ("source", "sink", "sentence"),
    [
        ("photos", "photos", EQUAL),
        ("photos", "./photos/", EQUAL),
        ("photos/*.jpg", "photos", EQUAL),
        ("/photos", "file:///photos", EQUAL),
        ("/a b", "file://localhost/a%20b", EQUAL),
        ("s3://shop/photos/*.jpg", "s3://shop/photos/", EQUAL),
        ("photos", "photos/rows", INSIDE),
        (".", "rows", INSIDE),
        ("/", "/rows", INSIDE),
        ("photos/**/*.jpg", "photos/rows", INSIDE),
        ("photos/**", "photos/rows", INSIDE),
        ("S3://shop", "s3://shop/rows", INSIDE),
        ("photos/2026", "photos", AROUND),
        ("photos/one.jpg", "photos", AROUND),
        ("s3://shop/photos/*", "s3://shop", AROUND),
    ],
)
def test_a_sink_that_is_not_apart_from_its_source_is_refused(source: str, sink: str, sentence: str) -> None:
    with pytest.raises(Invalid, match=f"^spec.sink.uri: .* {sentence}.*; give the results a folder of their own$"):
        job(source={"uri": source}, sink={"uri": sink})


@pytest.mark.parametrize(
    ("source", "sink"),
    [
        ("photos", "photos-classified"),
        ("photos/*.jpg", "photos/rows"),
        ("s3://shop/photos", "gs://shop/photos"),
        ("/photos", "photos"),
        (".", "../rows"),
        ("https://shop.example/photos.csv", "photos.csv"),
    ],
)
def test_a_sink_beside_its_source_is_taken(source: str, sink: str) -> None:
    assert job(source={"uri": source}, sink={"uri": sink}).spec.sink.uri == sink


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (
            {"source": {"parquet": {"uri": "data"}}, "sink": {"uri": "data/rows"}},
            f"spec.sink.uri: data/rows {INSIDE}, data; give",
        ),
        (
            {"source": {"parquet": {"uri": "data/*.parquet"}}, "sink": {"uri": "./data/"}},
            f"spec.sink.uri: ./data/ {EQUAL}; give",
        ),
        (
            {"source": {"lance": {"uri": "data/photos.lance"}}, "sink": {"uri": "data/photos.lance/rows"}},
            f"spec.sink.uri: data/photos.lance/rows {INSIDE}, data/photos.lance; give",
        ),
        ({"source": {"parquet": {"uri": "a\0"}}}, "spec.source.parquet.uri: has a NUL character"),
        ({"source": {"lance": {"uri": "a\0"}}}, "spec.source.lance.uri: has a NUL character"),
        ({"source": {"manifest": {"uri": "a.csv"}}, "sink": {"uri": "./a.csv"}}, "spec.sink.uri: ./a.csv is the list"),
        ({"sink": {"uri": "rows/*"}}, "spec.sink.uri: rows/* is a glob, but results go to one folder; leave out"),
        ({"sink": {"uri": "rows?"}}, "spec.sink.uri: rows? is a glob"),
        ({"sink": {"uri": "ro\0ws"}}, "spec.sink.uri: has a NUL character"),
        ({"source": {"uri": "pho\0tos"}}, "spec.source.uri: has a NUL character"),
        ({"source": {"manifest": {"uri": "\0"}}}, "spec.source.manifest.uri: has a NUL character"),
    ],
)
def test_a_place_that_cannot_be_is_refused(spec: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Invalid) as caught:
        job(**spec)
    assert str(caught.value).startswith(sentence)
