"""The monitor's Parquet files: samples as they come, and warm-ups."""

from pathlib import Path

import pyarrow.parquet as pq

from dueby_profiler.monitor.tables import ROWS_AT_A_TIME, SampleFile, write_warmups


def test_samples_are_written_in_row_groups_and_the_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "samples" / "x.parquet"
    file = SampleFile(path)
    for moment in range(ROWS_AT_A_TIME + 10):
        file.add([{"at_us": moment, "time": moment, "phase": "steady", "cpu_busy_s": 0.5}])
    assert not path.exists()
    assert file.close({"period_s": "0.25"}) == path
    found = pq.ParquetFile(path)
    assert [found.metadata.row_group(i).num_rows for i in range(found.num_row_groups)] == [ROWS_AT_A_TIME, 10]
    table = found.read()
    assert table.column("at_us").to_pylist() == list(range(ROWS_AT_A_TIME + 10))
    assert table.column("gpu_power_w").null_count == table.num_rows
    assert table.schema.field("disk_read_s").metadata[b"unit"] == b"s"
    assert found.metadata.metadata[b"period_s"] == b"0.25"


def test_a_file_that_is_dropped_leaves_nothing(tmp_path: Path) -> None:
    SampleFile(tmp_path / "x.parquet").drop()
    assert list(tmp_path.iterdir()) == []


def test_warmups_have_a_row_each(tmp_path: Path) -> None:
    path = write_warmups(tmp_path / "x.parquet", [{"warmup_us": 9, "model": "resnet18"}, {"warmup_us": 11}])
    assert pq.read_table(path).column("warmup_us").to_pylist() == [9, 11]
