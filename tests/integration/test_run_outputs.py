"""`dueby run` of jobs whose rows hold something else than the five best classes, and what the README does with them."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dueby
from dueby.cli.main import main
from dueby_api.errors import Invalid
from dueby_api.inference_job import Model
from dueby_api.output import Output
from dueby_worker.images.decode import decode_image
from dueby_worker.models.loading import load_model
from support.run import MODEL, SIDE, SMALL_PARTS_US, Job, kill, profile_document, wait_until, write_photos
from support.source_tree import REPOSITORY

PHOTOS = 160
EMBEDDING = {"kind": "Embedding", "dtype": "float16", "normalize": True}


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    write_photos(tmp_path / "photos", PHOTOS)
    (tmp_path / "photos" / "00100.jpg").write_bytes(b"not a photo")
    job = Job(folder=tmp_path, profile=profile_document(latency_us=SMALL_PARTS_US), spec={"output": EMBEDDING})
    yield job
    job.clean_up()


def plain_embedding(photo: Path) -> np.ndarray:
    """What plain fp32 PyTorch makes of a photo."""
    import torch

    loaded = load_model(
        Model(name=str(MODEL["name"]), weights="none", image_size=SIDE), Output(kind="Embedding", normalize=True)
    )
    pixels = torch.from_numpy(decode_image(photo.read_bytes(), loaded.preprocessing).pixels).permute(2, 0, 1) / 255
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (loaded.preprocessing.mean, loaded.preprocessing.std))
    with torch.inference_mode():
        found = loaded.module(((pixels - mean) / std)[None])[0].numpy()
    return np.asarray(found / np.linalg.norm(found))


def documented_example() -> str:
    """The documentation's lines that search among embeddings."""
    (block,) = re.findall(
        r"^```python\n(.*?)^```", (REPOSITORY / "docs" / "outputs.md").read_text(), re.DOTALL | re.MULTILINE
    )
    return str(block)


def test_embeddings_of_a_run_that_was_killed_are_there_once_and_can_be_searched(
    job: Job, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    process = job.start()
    wait_until(lambda: len(job.parts()) >= 2, "two parts are there")
    process.send_signal(signal.SIGKILL)
    for pid in job.worker_pids():
        kill(pid)
    process.wait()
    assert not (job.sink / "_SUCCESS").exists()
    before = {path.name: path.read_bytes() for path in job.parts()}

    assert job.run() == 0, job.said()
    assert all((job.sink / name).read_bytes() == data for name, data in before.items())
    results = dueby.read(job.sink)
    table = results.rows
    assert results.errors["index"].to_pylist() == [100]
    assert table["index"].to_pylist() == [number for number in range(PHOTOS) if number != 100]
    assert str(table.schema.field("embedding").type) == "fixed_size_list<element: halffloat>[1024]"
    vectors = {row["uri"].rpartition("/")[2]: row["embedding"] for row in table.to_pylist()}
    for name in ("00000.jpg", "00159.jpg"):
        expected = plain_embedding(job.folder / "photos" / name)
        np.testing.assert_allclose(np.array(vectors[name], dtype=np.float32), expected, atol=1e-3)

    monkeypatch.chdir(job.folder)
    job.sink.rename(job.folder / "photo-vectors")
    capsys.readouterr()
    exec(documented_example(), {})
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 5
    assert re.fullmatch(r"1\.000 file://.*/00000\.jpg", said[0])
    likeness = [float(line.split()[0]) for line in said]
    assert likeness == sorted(likeness, reverse=True)

    assert main(["report", "photo-vectors", "-o", "report.html"]) == 0
    page = (job.folder / "report.html").read_text()
    assert "The rows hold embeddings of 1,024 values" in page
    assert '<div class="score">' not in page


def test_another_output_on_the_same_sink_is_refused_and_an_unknown_layer_too(job: Job) -> None:
    output: dict[str, Any] = {"kind": "Probabilities"}
    job.write(output=output)
    assert job.run() == 0, job.said()
    table = dueby.read(job.sink).rows
    assert str(table.schema.field("probabilities").type) == "fixed_size_list<element: float>[1000]"
    sums = [sum(row) for row in table["probabilities"].to_pylist()]
    assert sums == pytest.approx([1] * (PHOTOS - 1), abs=1e-5)

    job.write(output=EMBEDDING)
    assert job.run() == 2, job.said()
    assert "its rows held all probabilities (now a normalized embedding in float16)" in job.said()
    job.write(output={"kind": "Embedding", "layer": "attic"})
    assert job.run() == 2, job.said()
    assert "spec.output.layer: there is no layer 'attic' in the network; there are" in job.said()
    job.write(output={"kind": "Embedding", "k": 3})
    assert job.run() == 2, job.said()
    assert "spec.output.k: only the kind TopK has it" in job.said()
    with pytest.raises(Invalid, match="only the kind TopK has it"):
        dueby.plan(job.manifest, profiles=job.folder / "profiles")
