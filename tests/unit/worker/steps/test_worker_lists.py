"""Workers of a job with `source.decoder: gpu`: what they need, what their rows say, and what careful ones do."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from dueby_api.errors import Invalid
from dueby_api.schema import validate
from dueby_api.step_config import CAREFUL_AFTER, IndexConfig, WorkConfig
from dueby_worker.engines.build import build_engine
from dueby_worker.images.listed import ListDecoder
from dueby_worker.images.nvimgcodec import NvImageCodec
from dueby_worker.models.loading import load_model
from dueby_worker.output.rows import Rows
from dueby_worker.steps.index_step import index_source
from dueby_worker.steps.job_network import LoadedNetwork
from dueby_worker.steps.worker_run import WorkerRun, run_worker
from dueby_worker.storage.stores import open_store
from dueby_worker.telemetry.progress import ProgressTracker
from support.pictures import write_photos
from support.worker import rows_in

IMAGES, CUT, MISSING, PNG = 10, 4, 6, 7
MINI_BATCH = 4


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Ten photos: one is cut off, one will be gone, and one is a PNG."""
    folder = tmp_path / "photos"
    paths = write_photos(folder, IMAGES, size=(96, 72))
    paths[CUT].write_bytes(paths[CUT].read_bytes()[:-300])
    paths[PNG].write_bytes(write_photos(folder / "other", 1, kind="png")[0].read_bytes())
    return folder


def a_config(photos: Path, sink: Path, *, decoder: str) -> WorkConfig:
    """Index the photos, and return what a worker for all of them is started with."""
    job = {
        "job": "catalog",
        "sink": {"uri": str(sink)},
        "source": {"uri": f"{photos}/*", "decoder": decoder},
        "model": {"name": "squeezenet1_1", "weights": "none", "imageSize": 64},
    }
    index_source(validate(IndexConfig, job))
    (photos / f"{MISSING:05d}.jpg").unlink(missing_ok=True)
    document = job | {
        "images": IMAGES,
        "partSize": 4,
        "share": [0, 3],
        "shares": [[0, 3]],
        "engine": "eager",
        "deviceClass": "cpu-1",
        "worker": "w0",
        "revision": 1,
        "iterations": 99,
        "miniBatchSize": MINI_BATCH,
        "decodeThreads": 1,
        "threads": 1,
    }
    return validate(WorkConfig, document)


def rows_of(config: WorkConfig) -> list[Rows]:
    return rows_in(open_store(config.sink.uri))


def errors_of(rows: list[Rows]) -> dict[int, str]:
    return {part.first + position: error for part in rows for position, error in part.errors.items()}


def run(config: WorkConfig, *, losses: int) -> bool:
    progress = ProgressTracker(worker=config.worker, share=config.own_share)
    store = open_store(config.sink.uri)
    return run_worker(config, store=store, progress=progress, process_age_us=lambda: 0, losses=losses)


def test_rows_are_nearly_those_of_a_cpu_with_the_same_errors(photos: Path, tmp_path: Path) -> None:
    config = a_config(photos, tmp_path / "gpu", decoder="gpu")
    loaded = load_model(config.model, config.output)
    codec = NvImageCodec(torch.device("cpu"), threads=1)
    decoder = ListDecoder(
        codec, preprocessing=loaded.preprocessing, max_pixels=config.max_pixels, threads=1, most=MINI_BATCH
    )
    engine = build_engine(name="eager", loaded=loaded, mini_batch_size=MINI_BATCH, precision="fp32", threads=1)
    progress = ProgressTracker(worker=config.worker, share=config.own_share)
    with closing(decoder) as lists:
        network = LoadedNetwork(config, loaded, engine=engine)
        worker = WorkerRun(config, network=network, store=open_store(config.sink.uri), progress=progress, lists=lists)
        assert worker.run(process_age_us=lambda: 0)
    usual = a_config(photos, tmp_path / "cpu", decoder="cpu").replace(images=IMAGES - 1)
    assert run(usual, losses=0)

    errors = errors_of(rows_of(config))
    assert sorted(errors) == [CUT, MISSING]
    assert errors[CUT] == "It is damaged or truncated: Premature end of JPEG file."
    found = {uri: row for part in rows_of(config) for uri, row in zip(part.uris, part.columns["scores"], strict=True)}
    for part in rows_of(usual):
        for position, uri in enumerate(part.uris):
            if position not in part.errors:
                assert np.allclose(found[uri], part.columns["scores"][position], atol=0.02)


def test_without_a_gpu_the_worker_says_what_to_do(photos: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    config = a_config(photos, tmp_path / "rows", decoder="gpu")
    with pytest.raises(Invalid, match=r"no NVIDIA GPU here that torch can use.*set source\.decoder to cpu") as error:
        run(config, losses=CAREFUL_AFTER - 1)
    assert error.value.field == "spec.source.decoder"


def test_a_worker_that_was_lost_twice_decodes_in_children_on_the_cpu(photos: Path, tmp_path: Path) -> None:
    config = a_config(photos, tmp_path / "rows", decoder="gpu")
    assert run(config, losses=CAREFUL_AFTER)
    assert sorted(errors_of(rows_of(config))) == [CUT, MISSING]
