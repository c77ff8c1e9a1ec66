"""What a measuring process loads is what a worker loads."""

from dueby_api.inference_job import Model
from dueby_profiler.measuring.bench import Bench
from dueby_profiler.measuring.messages import Setup


def test_an_image_encoder_is_measured_with_the_embedding_that_its_jobs_ask_for() -> None:
    model = Model(name="timm/vit_xsmall_patch16_clip_224.tinyclip_yfcc15m", weights="none")

    loaded = Bench(Setup(model=model, engine="eager", threads=1, spawned_us=0)).loaded

    assert (loaded.output.kind, loaded.values) == ("Embedding", 512)
