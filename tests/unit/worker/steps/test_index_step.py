"""The index step: what it finds out before it reads anything of the source."""

from pathlib import Path

import pytest

from dueby_api.errors import Invalid
from dueby_api.schema import validate
from dueby_api.step_config import IndexConfig
from dueby_worker.steps.index_step import index_source


def test_a_sink_that_can_not_be_written_is_refused_before_the_source_is_listed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    document = {
        "job": "catalog",
        "sink": {"uri": str(tmp_path / "file" / "rows")},
        # Listing it would be an error, too.
        "source": {"uri": str(tmp_path / "nowhere")},
        "model": {"name": "mobilenet_v3_small", "weights": "none"},
    }
    with pytest.raises(Invalid) as caught:
        index_source(validate(IndexConfig, document))
    assert caught.value.field == "spec.sink.uri"
    assert capfd.readouterr().err == ""
