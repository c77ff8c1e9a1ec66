"""What a step of a job is told, wherever it runs: the part of its configuration that follows from job and plan.

This is the one place where an assignment becomes a worker's configuration (dueby_api/step_config.py). Each backend adds
where things are: cores, ports, folders.
"""

from typing import Any

from dueby_api.engines import EngineName
from dueby_api.inference_job import InferenceJob, JobSpec
from dueby_api.source import Source
from dueby_api.store_limits import is_of_single_objects, requests_per_image
from dueby_planner.model.feed import MICRO
from dueby_planner.schedule.job import Assignment

Document = dict[str, Any]


def index_config(job: InferenceJob) -> Document:
    spec = job.spec
    limit = {} if spec.images is None else {"images": spec.images}
    named = {"model": spec.model.document(), "source": spec.source.document()}
    return {**finish_config(job), **named, **_output_config(spec), **limit}


def early_config(job: InferenceJob, engine: EngineName, *, threads: int) -> Document:
    """Return what a worker is told that loads its model before there is a plan."""
    return {"model": job.spec.model.document(), **_output_config(job.spec), "engine": engine, "threads": threads}


def images_without_index(spec: JobSpec) -> int | None:
    """Return N of a job that needs no index step; None if there is something for one to do.

    The step lists the source, samples what decoding costs, empties or refuses a sink in use if the job says so, and
    quantizes the network of a job at int8. For synthetic images of the model's own size there may be nothing of these.
    The fingerprint is then what the workers find: the first one claims the sink with it, and no worker joins with
    another.
    """
    synthetic, side = spec.source.synthetic, spec.model.image_size
    if synthetic is None or spec.sink.if_exists != "Resume" or spec.model.precision == "int8":
        return None
    return spec.images if (synthetic.width or side, synthetic.height or side) == (side, side) else None


def finish_config(job: InferenceJob) -> Document:
    return {"job": job.metadata.name, "sink": job.spec.sink.document()}


def profile_config(job: InferenceJob, device_class: str, *, gpu: bool, threads: int) -> Document:
    """Return the configuration of the step that measures a device: without weights, which don't change the time."""
    model = job.spec.model.measured
    return {
        "job": job.metadata.name,
        "model": model.document(),
        "deviceClass": device_class,
        "gpu": gpu,
        "threads": threads,
    }


def _output_config(spec: JobSpec) -> Document:
    # What is usual is left out: an older worker image knows no outputs.
    return {} if spec.output.is_usual else {"output": spec.output.document()}


def common_config(
    job: InferenceJob, first: Assignment, *, threads: int, images: int, part_size: int, fingerprint: str | None
) -> Document:
    """Return what all workers of a revision on devices of one class are told, `first` being one of them."""
    limit = job.spec.gpus.max_iterations
    return {
        **index_config(job),
        "revision": first.revision,
        "deviceClass": first.device_class,
        "engine": first.choice.engine,
        "threads": threads,
        "decodeThreads": threads,
        "images": images,
        "partSize": part_size,
        "fingerprint": fingerprint,
        **({} if limit is None else {"maxIterations": limit}),
    }


def own_config(assignment: Assignment, *, rank: int, source: Source) -> Document:
    """Return what one worker is told besides. `rank` is the place of its share among all workers' shares."""
    return {
        "worker": assignment.worker,
        "miniBatchSize": assignment.choice.mini_batch_size,
        "iterations": assignment.iterations,
        "share": [assignment.share.first, assignment.share.end],
        "rank": rank,
        **_pace_config(assignment.read_rate, source),
    }


def _pace_config(read_rate: int | None, source: Source) -> Document:
    """Return how fast a worker may ask the images' store, if the plan knows what that gives.

    Only where each image is an object, and so a request: of other sources nobody knows exactly how many there are.
    """
    if read_rate is None or not is_of_single_objects(source):
        return {}
    return {"requestsPerSecond": round(read_rate / MICRO * float(requests_per_image(source)), 6)}
