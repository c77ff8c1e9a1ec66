"""What went wrong in the operator itself while it attended to one job: a bug, or input that nobody thought of.

It is that job's trouble and nobody else's, so it is caught where the job is handled and becomes a value.
"""

import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dueby_api.errors import Invalid

Stage = Literal["observing", "deciding", "applying", "clearing", "profiling", "reconciling"]
# Of an error's own words: they may hold a whole document.
MAX_WORDS = 300


class TurnedAway(Invalid):
    """What the job asks for isn't read, since its namespace has more jobs than there is room for. It waits."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One exception that nobody expected."""

    stage: Stage
    """What the operator was doing."""
    error: Exception

    @property
    def place(self) -> str:
        """File and line where it was raised; empty if it was never raised."""
        frames = traceback.extract_tb(self.error.__traceback__)
        return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""

    @property
    def sentence(self) -> str:
        """What it was and where, such as `TypeError: 'int' object is not iterable (deciding, plan.py:12)`."""
        words = str(self.error)[:MAX_WORDS]
        where = ", ".join(filter(None, (self.stage, self.place)))
        return f"{type(self.error).__name__}: {words} ({where})" if words else f"{type(self.error).__name__} ({where})"
