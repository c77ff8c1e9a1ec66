"""All features, and what else a row says: the columns of the monitor's files, in their order."""

from dataclasses import dataclass

from dueby_profiler.monitor.features import HOST, Feature
from dueby_profiler.monitor.gpu_features import ALLOCATOR, GPU

FEATURES: tuple[Feature, ...] = (*HOST, *GPU, *ALLOCATOR)


@dataclass(frozen=True, kw_only=True)
class Key:
    """A column that says when, of whom, or what was done."""

    name: str
    type: str
    """As pyarrow calls it."""
    doc: str


MOMENT = (
    Key(name="time", type="timestamp", doc="the moment, by the wall clock"),
    Key(name="at_us", type="int64", doc="the moment in µs of the machine's monotonic clock, as in every measured step"),
    Key(name="since_previous_us", type="int64", doc="µs since the sample before: what rates are over"),
    Key(name="device_class", type="string", doc="the device class that is measured"),
    Key(name="engine", type="string", doc="the engine that is measured"),
    Key(name="slice", type="int64", doc="which of the devices side by side, from 0"),
    Key(name="round", type="int64", doc="which crew of fresh processes of this class and engine; 0 explored"),
    Key(name="phase", type="string", doc="what the process was doing"),
    Key(name="mini_batch_size", type="int64", doc="of which size; 0 before the first"),
    Key(name="nth_size", type="int64", doc="how many sizes the process has begun, this one counted; 1: it is fresh"),
    Key(name="steps", type="int64", doc="steady mini-batches done at this size when the sample was taken"),
    Key(name="phase_began_us", type="int64", doc="when the phase began, by the monotonic clock"),
    Key(name="torch_read_us", type="int64", doc="when the process read its allocator, by that clock; null without one"),
)

WARMUP = (
    Key(name="at_us", type="int64", doc="when the features were read: the engine was built, nothing had run"),
    Key(name="since_previous_us", type="int64", doc="µs since the sample before: what rates are over"),
    Key(name="device_class", type="string", doc="the device class"),
    Key(name="gpu", type="bool", doc="whether the device is a GPU"),
    Key(name="node", type="string", doc="the machine"),
    Key(name="slice", type="int64", doc="which of the devices side by side, from 0"),
    Key(name="slices", type="int64", doc="devices that warmed up side by side"),
    Key(name="round", type="int64", doc="which crew of fresh processes; 0 may have had to compile"),
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
    Key(name="build_us", type="int64", doc="of them, µs for building the engine"),
    Key(name="warmup_us", type="int64", doc="W, measured: µs of the process's first mini-batch"),
)
