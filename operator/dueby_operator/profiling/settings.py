"""What the chart says of profiling on nodes: where, when, which models, how long. Values only.

The operator is given it as one option in JSON, for it is one part of the chart's values and has lists in it.
"""

import json
from typing import Annotated, Any

from dueby_api.errors import Invalid
from dueby_api.inference_job import Model
from dueby_api.schema import Duration, Meta, Spec, require_duration, validate
from dueby_api.units import parse_duration_us


class Window(Spec, frozen=True, kw_only=True):
    """When nodes are measured: each at a time of its own within some hours of a day."""

    start: Annotated[str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")] = "01:00"
    """The first minute."""
    hours: Annotated[int, Meta(ge=1, le=24)] = 4
    """How long it is."""
    days: Annotated[str, Meta(pattern=r"^[0-9A-Za-z*,/-]{1,32}$")] = "*"
    """Days of the week, as in a CronJob."""
    time_zone: Annotated[str, Meta(max_length=64)] = ""
    """Whose clock; empty: the cluster's own. Some API servers know no zone, not even Etc/UTC."""

    @property
    def start_minutes(self) -> int:
        """Minutes from midnight."""
        hours, _, minutes = self.start.partition(":")
        return 60 * int(hours) + int(minutes)


class Profiler(Spec, frozen=True, kw_only=True):
    """A profiler on each node with GPUs."""

    namespace: str
    """The release's, where the CronJobs are."""
    name: str
    """Of its ServiceAccount, which may do nothing, and of its PriorityClass, below every worker's."""
    enabled: bool = True
    """Whether there is one; what it has made goes where there isn't."""
    window: Window = Window()
    """When."""
    models: tuple[Model, ...] = ()
    """Models that are measured on every node with GPUs, besides those of jobs."""
    time_limit: Duration = "1h"
    """After so long a node's run is over, whether or not a device was idle."""
    tolerations: tuple[dict[str, Any], ...] = ()
    """Taints that its pods bear besides those that workers do."""

    def __post_init__(self) -> None:
        require_duration("timeLimit", self.time_limit)

    @property
    def limit_s(self) -> int:
        """The time limit in seconds, at least one."""
        return max(1, parse_duration_us(self.time_limit) // 1_000_000)


def read_profiler(text: str) -> Profiler:
    """The option's value; Invalid with the field that is wrong."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise Invalid("--profiler", f"is not JSON: {error}") from None
    return validate(Profiler, document, origin="--profiler")
