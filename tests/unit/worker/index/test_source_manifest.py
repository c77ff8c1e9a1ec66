"""Listing a manifest: text, CSV and Parquet give the right images, and each mistake in them a clear message."""

import csv
import io
import json
import random
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dueby_api.errors import Invalid
from dueby_api.source import ListedSource, Source
from dueby_worker.index.build import LISTING_RETRY
from dueby_worker.index.frozen_index import find_index
from dueby_worker.index.kept import KeptColumns
from dueby_worker.index.listing import list_source
from dueby_worker.storage.store import Store
from dueby_worker.storage.stores import open_store
from dueby_worker.storage.uris import file_uri
from support.index import JPEG, build, index_of, names_of, write_files
from support.pictures import write_photos


@pytest.fixture
def sink(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "sink"))


def as_text(uris: list[str]) -> bytes:
    return "\n".join(uris).encode()


def as_text_of_windows(uris: list[str]) -> bytes:
    return b"\xef\xbb\xbf" + "\r\n\r\n".join(f" {uri} " for uri in uris).encode() + b"\r\n"


def as_csv(uris: list[str]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerows([["label", "uri"], *(["cat, black", uri] for uri in uris)])
    return text.getvalue().encode()


def as_tsv(uris: list[str]) -> bytes:
    return "\n".join(["label\turi", *(f"cat, black\t{uri}" for uri in uris)]).encode()


def as_json_lines(uris: list[str]) -> bytes:
    return "\n\n".join(json.dumps({"uri": uri, "label": ["cat"]}) for uri in uris).encode()


def as_parquet(uris: list[str]) -> bytes:
    data = io.BytesIO()
    column = pa.array(uris).dictionary_encode()
    pq.write_table(pa.table({"label": range(len(uris)), "uri": column}), data, row_group_size=2)
    return data.getvalue()


MANIFESTS: dict[str, Callable[[list[str]], bytes]] = {
    "m.txt": as_text,
    "windows.txt": as_text_of_windows,
    "m.csv": as_csv,
    "m.TSV": as_tsv,
    "m.jsonl": as_json_lines,
    "m.ndjson": as_json_lines,
    "m.parquet": as_parquet,
    "no-extension": as_parquet,
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_gives_its_rows_sorted_and_doubles_stay(tmp_path: Path, sink: Store, name: str) -> None:
    write_files(tmp_path / "in", "b.jpg", "a.jpg", "sub/c.jpg")
    rows = ["b.jpg", f"file://{tmp_path}/in/a.jpg", "sub/../b.jpg", str(tmp_path / "in/sub/c.jpg"), "s3://bucket/z.jpg"]
    write_files(tmp_path / "in", name, data=MANIFESTS[name](rows))
    manifest = ListedSource(uri=str(tmp_path / "in" / name), any_host=True)
    index = index_of(Source(manifest=manifest), sink, limit=4)
    assert names_of(index, tmp_path / "in") == ["a.jpg", "b.jpg", "b.jpg", "sub/c.jpg"]


def test_the_order_of_a_manifest_does_not_matter(tmp_path: Path) -> None:
    paths = [file_uri(str(path)) for path in write_photos(tmp_path / "in", 20)]
    digests = set()
    for number in range(3):
        random.Random(number).shuffle(paths)
        write_files(tmp_path, f"{number}.txt", data=as_text(paths))
        sink = open_store(str(tmp_path / f"sink{number}"))
        digests.add(build(Source(manifest=ListedSource(uri=str(tmp_path / f"{number}.txt"))), sink).digest)
    digests.add(build(Source(uri=str(tmp_path / "in")), open_store(str(tmp_path / "sink"))).digest)
    assert len(digests) == 1


@pytest.mark.parametrize("name", MANIFESTS)
@pytest.mark.parametrize(
    "row",
    [
        "http://169.254.169.254/latest/meta-data/iam",
        "https://kubernetes.default.svc/api",
        "HTTP://host/a.jpg",
        "s3://somebody-elses/a.jpg",
        "gs://bucket/a.jpg",
    ],
)
def test_a_manifest_names_nothing_elsewhere_unless_the_job_says_so(
    tmp_path: Path, sink: Store, name: str, row: str
) -> None:
    write_files(tmp_path, name, data=MANIFESTS[name](["a.jpg", row]))
    manifest = ListedSource(uri=str(tmp_path / name))
    with pytest.raises(
        Invalid, match=r"^spec.source.manifest.uri: (line|row) [23]: .* is not at file:///, as"
    ) as caught:
        build(Source(manifest=manifest), sink)
    assert "anyHost: true" in caught.value.message
    assert find_index(sink) is None
    rows = list_source(
        Source(manifest=manifest.replace(any_host=True)), scratch=tmp_path, retry=LISTING_RETRY, kept=KeptColumns(())
    )
    assert len(list(rows)) == 2


REFUSED_MANIFESTS = [
    pytest.param("m.txt", b"", r"m.txt has no rows", id="empty text"),
    pytest.param("m.txt", b"\n \n", r"m.txt has no rows", id="blank lines"),
    pytest.param(
        "m.txt", b"a.jpg\n\0\1\2", r"line 2 is not text; a list is text with one URI per line", id="zeros in a text"
    ),
    pytest.param("m.txt", JPEG, r"is not UTF-8 text; a list is text with one URI per line", id="a photo as a text"),
    pytest.param(
        "m.txt",
        b"a.jpg\nftp://host/b.jpg",
        r"line 2: ftp:// is not supported; use one of file, s3",
        id="a scheme that isn't read",
    ),
    pytest.param("m.txt", b"s3:///b.jpg", r"line 1: 's3:///b.jpg' has no bucket after s3://", id="no bucket"),
    pytest.param(
        "m.txt", b"file://host/b.jpg", r"line 1: 'file://host/b.jpg' is not the URI of a file on", id="a file elsewhere"
    ),
    pytest.param(
        "m.csv", b"url,label\na.jpg,1\n", r"has no column `uri`; there are url, label", id="CSV without the column"
    ),
    pytest.param("m.csv", b"", r"the list has no column `uri`; there are none", id="empty CSV"),
    pytest.param("m.csv", b"uri\n", r"m.csv has no rows", id="CSV without rows"),
    pytest.param(
        "m.csv",
        b"label,uri\ncat,a.jpg\ndog\n",
        r"line 3 has no text in `uri`; a list is",
        id="CSV with a row without one",
    ),
    pytest.param("m.csv", b'uri\n"a.jpg', r"can't be read: unexpected end of data", id="CSV with an open quote"),
    pytest.param("m.txt", b'{"uri": "a.jpg"}\n', r"line 1 is JSON; name the file .jsonl if", id="JSON Lines as text"),
    pytest.param("m.txt", b'[\n{"uri": "a.jpg"}]', r"line 1 is JSON; name the file .jsonl if", id="JSON as text"),
    pytest.param("m.txt", b"label\turi\n", r"line 1 has a tab; name the file .tsv if", id="TSV as text"),
    pytest.param("m", b"label,uri\ncat,a.jpg\n", r"line 1 names columns; name the file .csv", id="CSV as text"),
    pytest.param("m.json", b"[]", r"m.json is a .json file; a list is text with one URI", id="JSON"),
    pytest.param("m.csv.gz", b"\x1f\x8b", r"m.csv.gz is a .gz file; a list is text", id="a compressed file"),
    pytest.param("m.jsonl", b'{"url": "a"}', r"line 1 has no text in `uri`; a list is", id="JSON without it"),
    pytest.param("m.jsonl", b'{"uri": 7}', r"line 1 has no text in `uri`", id="JSON with a number"),
    pytest.param(
        "m.jsonl", b'{"uri": "a"}\n{"uri', r"can't be read after line 1: Unterminated string", id="JSON cut off"
    ),
    pytest.param("m.jsonl", b"[" * 99_999, r"can't be read: maximum recursion", id="JSON nested deeply"),
    pytest.param("m.csv", b"uri\n\xff\n", r"is not UTF-8 text", id="CSV that isn't UTF-8"),
    pytest.param(
        "m.parquet",
        b"uri\na.jpg",
        r"m.parquet is not a Parquet file, although its name says so",
        id="text named Parquet",
    ),
    pytest.param("m.parquet", as_parquet(["a.jpg"])[:-9], r"can't be read: ", id="truncated Parquet"),
    pytest.param("m.parquet", b"PAR1" + b"\0" * 99 + b"PAR1", r"can't be read: ", id="Parquet in name only"),
]


@pytest.mark.parametrize(("name", "data", "sentence"), REFUSED_MANIFESTS)
def test_a_manifest_with_a_mistake_is_refused(
    tmp_path: Path, sink: Store, name: str, data: bytes, sentence: str
) -> None:
    write_files(tmp_path, name, data=data)
    with pytest.raises(Invalid, match=sentence) as caught:
        build(Source(manifest=ListedSource(uri=str(tmp_path / name))), sink)
    assert caught.value.field == "spec.source.manifest.uri"
    assert "\n" not in str(caught.value)
    assert find_index(sink) is None


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        pytest.param({"url": ["a.jpg"]}, "has no column `uri`; there are url", id="without the column"),
        pytest.param({"uri": ["a.jpg", None]}, "row 2 has no text in `uri`", id="with a null"),
        pytest.param({"uri": [["a.jpg"]]}, "its column `uri` is of type list<.*>, and URIs are", id="with lists"),
        pytest.param({"uri": [1, 2]}, "its column `uri` is of type int64, and URIs are text", id="with integers"),
        pytest.param({"uri": [1.5, None]}, "its column `uri` is of type double, and URIs are", id="with floats"),
        pytest.param({"uri": [True]}, "its column `uri` is of type bool, and URIs are text", id="with booleans"),
        pytest.param({"uri": [date(2026, 1, 1)]}, "its column `uri` is of type date32", id="with dates"),
        pytest.param({"uri": [b"\xff"]}, "can't be read: ", id="with bytes that aren't text"),
        pytest.param({"uri": [None]}, "row 1 has no text in `uri`", id="with nulls only"),
    ],
)
def test_a_parquet_manifest_with_a_mistake_is_refused(
    tmp_path: Path, sink: Store, table: dict[str, Any], sentence: str
) -> None:
    pq.write_table(pa.table(table), tmp_path / "m.parquet")
    with pytest.raises(Invalid, match=sentence):
        build(Source(manifest=ListedSource(uri=str(tmp_path / "m.parquet"))), sink)


@pytest.mark.parametrize(
    "kind",
    [
        *(pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view()),
        *(pa.binary(5), pa.dictionary(pa.int32(), pa.string()), pa.dictionary(pa.int8(), pa.large_string())),
        pa.dictionary(pa.int32(), pa.binary()),
    ],
    ids=str,
)
def test_a_parquet_manifest_may_have_its_text_in_any_of_arrows_types(tmp_path: Path, kind: pa.DataType) -> None:
    write_files(tmp_path, "a.jpg", "b.jpg")
    column = pa.array(["a.jpg", "b.jpg", "a.jpg"])
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    column = column.cast(pa.binary()).cast(inner) if inner == pa.binary(5) else column.cast(inner)
    column = column.dictionary_encode().cast(kind) if inner is not kind else column
    pq.write_table(pa.table({"uri": column}), tmp_path / "m.parquet")
    source = Source(manifest=ListedSource(uri=str(tmp_path / "m.parquet")))
    rows = list_source(source, scratch=tmp_path, retry=LISTING_RETRY, kept=KeptColumns(()))
    assert [Path(row.uri).name for row in rows] == ["a.jpg", "b.jpg", "a.jpg"]


def test_a_manifest_that_is_not_there_is_refused(tmp_path: Path, sink: Store) -> None:
    with pytest.raises(Invalid, match=r"^spec.source.manifest.uri: file://.*/m.txt: there is no such file$"):
        build(Source(manifest=ListedSource(uri=str(tmp_path / "m.txt"))), sink)
