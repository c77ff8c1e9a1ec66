"""Photos that are drawn from a source, and read."""

from pathlib import Path

import numpy as np

from dueby_api.source import Source
from dueby_worker.index.chunks import Row
from dueby_worker.index.freeze import FrozenFiles, freeze
from dueby_worker.index.photos import draw_rows, read_photos
from dueby_worker.storage.retry import RetryPolicy
from support.parquets import source_of, write_parquets
from support.pictures import a_preprocessing, write_photos


def frozen(source: Source, folder: Path) -> FrozenFiles:
    folder.mkdir()
    return freeze(source, folder, None, lambda stage, count: None, RetryPolicy(total_s=0))


def drawn_from(listed: FrozenFiles, most: int) -> list[Row]:
    return draw_rows(listed.rows, images=listed.images, digest=listed.digest, most=most)


def test_the_same_photos_are_drawn_each_time_from_all_over_the_source(tmp_path: Path) -> None:
    paths = write_photos(tmp_path / "photos", 40)
    listed = frozen(Source(uri=str(tmp_path / "photos")), tmp_path / "list")
    drawn = [row.uri for row in drawn_from(listed, 10)]
    assert len(set(drawn)) == 10
    assert drawn == [row.uri for row in drawn_from(listed, 10)]
    assert set(drawn) != {path.as_uri() for path in paths[:10]}
    assert len(drawn_from(listed, 1000)) == 40


def test_of_one_row_group_as_many_rows_are_drawn_as_of_several(tmp_path: Path) -> None:
    for rows in (100, 10):
        write_parquets(tmp_path / f"{rows}", 1, images=100, rows=rows)
        drawn = drawn_from(frozen(source_of(tmp_path / f"{rows}"), tmp_path / f"list-{rows}"), 80)
        assert len({row.place for row in drawn}) == 80


def test_what_is_no_image_is_passed_over(tmp_path: Path) -> None:
    paths = write_photos(tmp_path / "photos", 3)
    paths[1].write_bytes(b"no JPEG")
    source, preprocessing = Source(uri=str(tmp_path / "photos")), a_preprocessing()
    rows = drawn_from(frozen(source, tmp_path / "list"), 3)
    found = dict(read_photos(rows, source, preprocessing, threads=1))
    assert found.keys() == {paths[0].as_uri(), paths[2].as_uri()}
    side = preprocessing.crop_side
    assert all(pixels.shape == (side, side, 3) and pixels.dtype == np.uint8 for pixels in found.values())
