"""What a measuring process loads is what a worker loads, and what it finds in the cache."""

from pathlib import Path

import pytest
import torch

from dueby_api.inference_job import Model
from dueby_profiler.measuring.bench import Bench
from dueby_profiler.measuring.messages import Setup
from dueby_worker.engines.build import available_engines
from support.profiler import TINY


def test_an_image_encoder_is_measured_with_the_embedding_that_its_jobs_ask_for() -> None:
    model = Model(name="timm/vit_xsmall_patch16_clip_224.tinyclip_yfcc15m", weights="none")

    loaded = Bench(Setup(model=model, engine="eager", threads=1, spawned_us=0)).loaded

    assert (loaded.output.kind, loaded.values) == ("Embedding", 512)


@pytest.mark.skipif("openvino" not in available_engines("fp32"), reason="OpenVINO is not installed")
def test_the_first_engine_of_workers_without_a_common_cache_finds_nothing_in_it(tmp_path: Path) -> None:
    def setup(*, starts_empty: bool) -> Setup:
        return Setup(
            model=TINY.replace(engine="openvino"),
            engine="openvino",
            threads=1,
            cache_dir=str(tmp_path),
            starts_empty=starts_empty,
            spawned_us=0,
        )

    def networks() -> int:
        return len(list((tmp_path / "openvino").glob("*")))

    bench = Bench(setup(starts_empty=True))
    bench.build(1)
    assert networks() == 0
    # The sizes after it are measured for their steps, and take no longer than they must.
    bench.build(2)
    assert networks() == 1

    (converted,) = (tmp_path / "openvino").iterdir()
    made = converted.stat().st_ino
    Bench(setup(starts_empty=True)).build(1)
    Bench(setup(starts_empty=False)).build(1)
    assert [path.stat().st_ino for path in (tmp_path / "openvino").iterdir()] == [made]


def test_a_profile_checks_an_engine_with_the_threads_of_its_slice_as_workers_do() -> None:
    model = Model(name="efficientnet_b0", weights="none", image_size=64)
    bench = Bench(Setup(model=model, engine="openvino", threads=2, spawned_us=0))
    taken: list[int] = []
    bench.loaded.module.register_forward_pre_hook(lambda *_: taken.append(torch.get_num_threads()))
    bench.build(2)
    engine, (batch, *_) = bench.ready_engine(), bench.buffers
    engine.submit(batch)
    taken.clear()

    assert bench.check_once(batch, engine.collect()) is None
    assert taken == [2]
    assert torch.get_num_threads() == 1
