"""Parquet files that can't be an index: refused by name, with what there is and what to do."""

import base64
import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
import pytest

from dueby_api.errors import Invalid
from dueby_worker.storage.store import Store
from dueby_worker.storage.stores import open_store
from support.index import build
from support.parquets import claiming, dataset_of, parquet_of, source_of, write, write_parquets
from support.tars import jpeg

GOOD = [jpeg(number) for number in range(25)]
UNTOLD = "there are key (string), image (binary), label (int64). Say which one in source.parquet.column"


@pytest.fixture
def sink(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "sink"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


class Kms(pe.KmsClient):  # type: ignore[misc]
    """Keeps keys in the file itself."""

    def wrap_key(self, key_bytes: bytes, master_key_identifier: str) -> bytes:
        """Return the key as text."""
        return base64.b64encode(key_bytes)


def encrypted(*, plain_footer: bool) -> bytes:
    table = pa.table({"image": GOOD, "label": list(range(25))})
    configuration = pe.EncryptionConfiguration(
        footer_key="f", column_keys={"c": ["image"]}, plaintext_footer=plain_footer
    )
    keys = pe.CryptoFactory(lambda config: Kms())
    properties = keys.file_encryption_properties(pe.KmsConnectionConfig(), configuration)
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, table.schema, encryption_properties=properties) as writer:
        writer.write_table(table)
    return buffer.getvalue()


FILE = parquet_of(GOOD)
# In the footer, the column's path and the number of its compression: 2 is snappy's, and 6 LZO's.
_IMAGE_IS_BY = b"\x19\x18\x05image\x15"
LZO = FILE.replace(_IMAGE_IS_BY + b"\x02", _IMAGE_IS_BY + b"\x06")


@pytest.mark.parametrize(
    ("data", "fields", "sentence"),
    [
        pytest.param(FILE, {"column": "photo"}, f"a.parquet: has no column `photo`; {UNTOLD}", id="no such column"),
        pytest.param(
            FILE,
            {"column": "label"},
            "has a column `label` of int64; images are binary, or a struct with `bytes`",
            id="a column of numbers",
        ),
        pytest.param(
            FILE, {"column": "key"}, "has a column `key` of string; images are binary", id="a column of texts"
        ),
        pytest.param(
            write(pa.table({"image": [[b"a"]]})),
            {},
            "of list<element: binary>; images are binary",
            id="a list of images",
        ),
        pytest.param(
            write(pa.table({"image": [{"path": "x"}]})), {}, "of struct<path: string>; images are", id="only a path"
        ),
        pytest.param(
            write(pa.table({"image": pa.array([{"bytes": b"a"}]), "image.bytes": [b"a"]})),
            {"column": "image.bytes"},
            "has several columns that could be `image.bytes`; rename one",
            id="two columns of a name",
        ),
        pytest.param(
            FILE, {"name": "path"}, "has no column `path`; there are .*source.parquet.name", id="no such name"
        ),
        pytest.param(FILE, {"name": "image"}, "`image` of binary; names are texts or integers", id="images as names"),
        pytest.param(
            dataset_of(GOOD),
            {"name": "image"},
            r"`image` of struct<.*names are texts.*image.path",
            id="a struct as names",
        ),
        pytest.param(
            dataset_of([None] * 12),
            {},
            "a.parquet: has 12 rows and no image: `image` has paths to other files, and no bytes. Embed the images",
            id="paths only",
        ),
        pytest.param(b"", {}, "a.parquet: is no Parquet file: it has 0 bytes", id="an empty file"),
        pytest.param(b"PAR1" * 2, {}, "is no Parquet file: it has 8 bytes", id="a tiny file"),
        pytest.param(GOOD[0], {}, "is no Parquet file, or is cut off: it doesn't end with PAR1", id="a photo"),
        pytest.param(FILE[:-100], {}, "is no Parquet file, or is cut off", id="cut off"),
        pytest.param(
            FILE[:-8] + b"\xff\xff\xff\x7fPAR1", {}, "its footer is to have 2,147,483,647", id="a long footer"
        ),
        pytest.param(
            FILE[-2000:], {}, "is no Parquet file, or is damaged|is cut off or damaged", id="without its front"
        ),
        pytest.param(FILE[:-300] + bytes(292) + FILE[-8:], {}, "its footer can't be read", id="a damaged footer"),
        pytest.param(LZO, {}, "is compressed by LZO, which can't be read; write it with zstd", id="LZO"),
        pytest.param(encrypted(plain_footer=False), {}, "is encrypted, and there is no way", id="encrypted"),
        pytest.param(encrypted(plain_footer=True), {}, "is encrypted, and there is no way", id="an encrypted column"),
    ],
)
def test_a_file_with_a_fault_is_refused_by_name(
    folder: Path, sink: Store, data: bytes, fields: dict[str, Any], sentence: str
) -> None:
    (folder / "a.parquet").write_bytes(data)
    with pytest.raises(Invalid) as caught:
        build(source_of(folder, **fields), sink)
    assert caught.match(sentence.replace("(", r"\(").replace(")", r"\)") if "Say which" in sentence else sentence)
    assert "a.parquet: " in str(caught.value)
    assert caught.value.field == "spec.source.parquet.uri"


def test_a_file_cut_within_its_rows_with_its_footer_put_back_is_refused(folder: Path, sink: Store) -> None:
    end = 8 + int.from_bytes(FILE[-8:-4], "little")
    (folder / "a.parquet").write_bytes(FILE[: -end - 500] + FILE[-end:])
    with pytest.raises(Invalid, match=r"a.parquet: is cut off or damaged: its row group 2 ends at byte"):
        build(source_of(folder), sink)


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        pytest.param("{000..003}.parquet", r"003.parquet: there is no such file", id="a missing file"),
        pytest.param("{0..9999999}.parquet", r"means 10,000,000 files, more than 1,000,000", id="too many"),
        pytest.param("x*.parquet", r"means no Parquet file, or none that has rows", id="a glob that matches nothing"),
        pytest.param("nowhere", r"nowhere: there is no such file", id="neither file nor folder"),
    ],
)
def test_a_uri_that_is_wrong_is_refused(folder: Path, sink: Store, uri: str, sentence: str) -> None:
    write_parquets(folder, 3, images=1)
    with pytest.raises(Invalid, match=sentence) as caught:
        build(source_of(f"{folder}/{uri}"), sink)
    assert caught.value.field == "spec.source.parquet.uri"


@pytest.mark.parametrize(
    "name", ["_delta_log/00000000000000000000.json", "metadata/v1.metadata.json", ".hoodie/hoodie.properties"]
)
def test_a_table_whose_folder_has_old_files_is_refused(folder: Path, sink: Store, name: str) -> None:
    write_parquets(folder, 1, images=2)
    (folder / name).parent.mkdir()
    (folder / name).touch()
    with pytest.raises(Invalid, match=r"/in: is a table of Delta, Iceberg or Hudi, whose folder also has files"):
        build(source_of(folder), sink)
    assert build(source_of(f"{folder}/*.parquet"), sink).images == 2


def test_a_page_above_the_limit_is_refused(folder: Path, sink: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a.parquet").write_bytes(parquet_of(GOOD, rows=20))
    monkeypatch.setattr("dueby_worker.index.parquet_listing.MAX_PAGE_BYTES", 10_000)
    with pytest.raises(
        Invalid, match=r"a.parquet: has a page of .* bytes in its row group 0, more than .*: write it with"
    ):
        build(source_of(folder), sink)


@pytest.mark.parametrize("limit", [None, 5], ids=["without a limit", "with one"])
def test_a_footer_that_claims_more_rows_than_the_file_has_bytes_is_damaged(
    folder: Path, sink: Store, limit: int | None
) -> None:
    """It would fill the disk with rows that aren't there, although `images` says how many are wanted."""
    whole = write(pa.table({"image": pa.array([None] * 12_345, pa.binary())}), rows=12_345)
    forged = claiming(whole, rows=10**12, instead_of=12_345)
    (folder / "a.parquet").write_bytes(forged)
    sentence = rf"a\.parquet: is damaged: it is to have 1,000,000,000,000 rows in {len(forged):,} bytes"
    with pytest.raises(Invalid, match=sentence):
        build(source_of(str(folder)), sink, limit=limit)
