"""The columns of the monitor's files, in their order: keys that say when, of what and in which phase, then features."""

from dataclasses import dataclass

from dueby_profiler.monitor.features.feature import Feature
from dueby_profiler.monitor.features.gpu_features import ALLOCATOR, GPU
from dueby_profiler.monitor.features.host_features import HOST

FEATURES: tuple[Feature, ...] = (*HOST, *GPU, *ALLOCATOR)


@dataclass(frozen=True, kw_only=True)
class Key:
    """A column that says when a row is of, of which process, or what that was doing."""

    name: str
    type: str
    """Name of the type in `tables`: int64, bool, string or timestamp."""
    doc: str


MOMENT = (
    Key(name="time", type="timestamp", doc="the moment, by the wall clock"),
    Key(
        name="at_us",
        type="int64",
        doc="the moment in µs of the monotonic clock by which steps are measured, too",
    ),
    Key(name="since_previous_us", type="int64", doc="µs since the sample before, over which rates are computed"),
    Key(name="device_class", type="string", doc="the device class that is measured"),
    Key(name="engine", type="string", doc="the engine that is measured"),
    Key(name="slice", type="int64", doc="number of the device among those side by side, from 0"),
    Key(
        name="round",
        type="int64",
        doc="number of the group of fresh processes of this class and engine; 0 explored",
    ),
    Key(name="phase", type="string", doc="what the process was doing"),
    Key(name="mini_batch_size", type="int64", doc="at which mini-batch size; 0 before the first"),
    Key(name="nth_size", type="int64", doc="how many sizes the process has begun, including this one; 1: it is fresh"),
    Key(name="steps", type="int64", doc="steady mini-batches done at this size when the sample was taken"),
    Key(name="phase_began_us", type="int64", doc="when the phase began, by the monotonic clock"),
    Key(
        name="torch_read_us",
        type="int64",
        doc="when the process read its allocator, by that clock; null if it has none",
    ),
)

WARMUP = (
    Key(name="at_us", type="int64", doc="when the features were read: the engine was built, and nothing had run"),
    Key(name="since_previous_us", type="int64", doc="µs since the sample before, over which rates are computed"),
    Key(name="device_class", type="string", doc="the device class"),
    Key(name="gpu", type="bool", doc="whether the device is a GPU"),
    Key(name="node", type="string", doc="the machine"),
    Key(name="slice", type="int64", doc="number of the device among those side by side, from 0"),
    Key(name="slices", type="int64", doc="devices that warmed up side by side"),
    Key(name="round", type="int64", doc="number of the group of fresh processes; group 0 may have had to compile"),
    Key(name="engine", type="string", doc="the engine"),
    Key(name="threads", type="int64", doc="threads that the model computes with"),
    Key(name="model", type="string", doc="the model"),
    Key(name="precision", type="string", doc="its precision"),
    Key(name="parameters", type="int64", doc="its parameters"),
    Key(name="model_bytes", type="int64", doc="bytes of its parameters and buffers as they are loaded, in fp32"),
    Key(name="image_flops", type="int64", doc="operations for one image; a multiplication and an addition are two"),
    Key(name="image_size", type="int64", doc="side of an image in pixels"),
    Key(name="mini_batch_size", type="int64", doc="images of the first mini-batch"),
    Key(name="startup_us", type="int64", doc="µs from the process's start until the engine was built"),
    Key(name="build_us", type="int64", doc="the part of it that building the engine took"),
    Key(name="warmup_us", type="int64", doc="W, measured: µs of the process's first mini-batch"),
)
