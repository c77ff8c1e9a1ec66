"""What the control loop's tests are made of: a job of 10,000 images on ten CPU slices, and its workers."""

from typing import Any

from dueby_api.gpu_profile import GPUProfile, parse_profile
from dueby_api.grid import Share
from dueby_api.inference_job import JobSpec, parse_job
from dueby_api.status import PlanStatus
from dueby_planner.model.capacity import DeviceChoice
from dueby_planner.schedule.job import Assignment, ScheduledJob, WorkerModel

SECOND = 1_000_000
NOW = 1_700_000_000 * SECOND
# 16 images in 100 ms: 160 images a second.
STEP_US, SIZE = 100_000, 16
STARTUP_US, WARMUP_US = 1 * SECOND, 200_000


def spec(**changes: Any) -> JobSpec:
    """A job's spec, by the names of its manifest."""
    fields = {
        "images": 10_000,
        "deadline": "20s",
        "model": {"name": "efficientnet_lite0"},
        "source": {"uri": "photos"},
        "sink": {"uri": "rows"},
    } | changes
    return parse_job(
        {"apiVersion": "dueby.dev/v1alpha1", "kind": "InferenceJob", "metadata": {"name": "job"}, "spec": fields}
    ).spec


def profile(device_class: str = "cpu-1") -> GPUProfile:
    """A device class that does a step in 100 ms without any variance."""
    return parse_profile(
        {
            "apiVersion": "dueby.dev/v1alpha1",
            "kind": "GPUProfile",
            "metadata": {"name": device_class},
            "spec": {
                "deviceClass": device_class,
                "model": {"name": "efficientnet_lite0", "imageSize": 224, "precision": "fp32"},
                "engine": "openvino",
                "startupMicros": {"p50": STARTUP_US, "p95": STARTUP_US},
                "spread": {"run": 0, "node": 0},
                "steps": [
                    {
                        "miniBatchSize": SIZE,
                        "latencyMicros": {"mean": STEP_US},
                        "warmupMicros": {"p50": WARMUP_US, "p95": WARMUP_US},
                    }
                ],
            },
        }
    )


def plan_status(expected_finish: str, **more: Any) -> PlanStatus:
    """A status's plan of one device that ends then, but for what is given."""
    fields = {
        "revision": 1,
        "gpus": 1,
        "lower_bound": 1,
        "proof": "Calendar",
        "confidence": 0.95,
        "probability": 0.97,
        "part_size": 10,
        "finish_at_confidence": expected_finish,
        "slack": "1m",
    }
    return PlanStatus(expected_finish=expected_finish, **{**fields, **more})


def choice() -> DeviceChoice:
    """The profile's only choice."""
    return DeviceChoice(
        engine="openvino",
        mini_batch_size=SIZE,
        latency_us=STEP_US,
        start_us=STARTUP_US + WARMUP_US,
        expected_start_us=STARTUP_US + WARMUP_US,
        expected_warmup_us=WARMUP_US,
        profile="cpu-1",
    )


def worker(
    name: str = "w0", *, first: int = 0, end: int = 0, device_class: str = "cpu-1", **changes: Any
) -> WorkerModel:
    """A worker that has been running for a while and was seen just now."""
    fields: dict[str, Any] = {
        "assignment": Assignment(
            worker=name,
            revision=1,
            device_class=device_class,
            choice=choice(),
            iterations=10,
            share=Share(first=first, end=end),
        ),
        "state": "running",
        "created_us": NOW - 5 * SECOND,
        "step_us": STEP_US,
        "last_step_us": NOW,
        "answers_since_us": NOW - 4 * SECOND,
    } | changes
    return WorkerModel(**fields)


def model(**changes: Any) -> ScheduledJob:
    """The job as it is accepted, with ten slices free; `spec` may be a JobSpec."""
    fields: dict[str, Any] = {
        "spec": spec(),
        "now_us": NOW,
        "deadline_us": NOW + 20 * SECOND,
        "images": 10_000,
        "profiles": (profile(),),
        "counts": {"cpu-1": 10},
    } | changes
    return ScheduledJob(**fields)
