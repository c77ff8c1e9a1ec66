"""Where the profiler reports what it is doing: callbacks, so that it needs neither a terminal nor a log.

`dueby profile` draws a bar from them, the step of a job serves them on /progress, and tests collect them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class ProgressUpdate:
    """What the profiler is doing now, and how long the rest takes."""

    doing: str
    left_s: float
    """Upper limit: a phase that finishes early leaves its time unused."""


@dataclass(frozen=True, kw_only=True)
class ProgressListener:
    """Callbacks for a run of the profiler. They do nothing by default."""

    on_progress: Callable[[ProgressUpdate], None] = field(default=lambda update: None)
    """Called whenever a phase begins."""
    on_message: Callable[[str], None] = field(default=lambda message: None)
    """Called with each sentence that is worth keeping: what was chosen, what was left out, what is in doubt."""
