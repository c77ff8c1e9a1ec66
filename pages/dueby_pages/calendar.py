"""A calendar as it is shown to people: which job has which devices when, in seconds from now.

A plan of this command and the jobs of a cluster both become these values. The table of the terminal
(dueby/cli/calendar_table.py) and the page (calendar_page.py) are made of them and of nothing else.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dueby_api.words import counted

# What is promised has at least half of the width: deadlines further off are beyond the edge.
_FAR_OFF = 2
NO_JOBS = "No job has devices or waits for some."


@dataclass(frozen=True, kw_only=True)
class ShownHold:
    """Devices that a job has from one time to another."""

    device_class: str
    from_s: float
    """Negative if it began before now."""
    to_s: float
    count: int
    work: str = ""
    """What they do, in words."""


@dataclass(frozen=True, kw_only=True)
class ShownJob:
    """One job; what isn't known is None."""

    name: str
    deadline_class: str
    state: str
    """What is done with it in one word: an action of the plan, or its phase."""
    deadline_s: float | None = None
    starts_s: float | None = None
    expected_s: float | None = None
    """When to expect the end."""
    sure_s: float | None = None
    """When it is done at its confidence."""
    confidence: float | None = None
    slack_s: float | None = None
    """Negative if it is late."""
    gpus: int | None = None
    """Devices at most at once; in a cluster those that it has now, if it has any."""
    holds: tuple[ShownHold, ...] = ()
    is_refused: bool = False
    sentence: str = ""
    """Why it has no place, or is late, with its name; empty if there is nothing to say."""

    @property
    def is_late(self) -> bool:
        """Whether it is not done by its deadline."""
        return self.slack_s is not None and self.slack_s < 0


@dataclass(frozen=True, kw_only=True)
class ShownPool:
    """The devices of a class."""

    device_class: str
    devices: int | None
    """How many there are; None where only those that jobs have are known."""
    peak: int
    """How many are held at most at once."""
    others: int = 0
    """Those that pods have now which are no worker of a job on this class."""

    @property
    def height(self) -> int:
        """Devices that are shown."""
        return max(self.devices or 0, self.peak, 1)


@dataclass(frozen=True, kw_only=True)
class ShownTable:
    """Rows of words, with a heading."""

    heading: str
    rows: Sequence[Sequence[str]]
    columns: Sequence[str] = ()
    """Empty if the rows say for themselves what is in them."""
    text_columns: frozenset[str] = frozenset()
    """Those that hold words; the others hold numbers."""


@dataclass(frozen=True, kw_only=True)
class ShownCalendar:
    """All jobs, and all devices."""

    now_us: int
    """What the times count from, since 1970."""
    jobs: tuple[ShownJob, ...]
    pool: tuple[ShownPool, ...]
    device: str
    """What a device is called."""
    is_of_cluster: bool = False
    """Whether this is what goes on in a cluster, and not what would be done."""
    notes: tuple[str, ...] = ()
    """Sentences about what isn't among the jobs."""
    warnings: tuple[str, ...] = ()
    """What makes the plan less sure than it looks, as clauses."""
    title: str = ""
    """The heading of a page; empty: how many jobs and devices there are."""
    story: str = ""
    """The sentence below it; empty: how many jobs have devices, and when the last one ends."""
    tables: tuple[ShownTable, ...] = ()
    """What is shown above the devices."""
    maker: str = "dueby plan"
    """What has made it, for the foot of a page."""

    @property
    def horizon_s(self) -> float:
        """The last moment to show: later ones would leave no room for the others."""
        promised = [hold.to_s for job in self.jobs for hold in job.holds if job.deadline_class != "BestEffort"]
        others = [hold.to_s for job in self.jobs for hold in job.holds]
        deadlines = [job.deadline_s for job in self.jobs if job.deadline_s is not None]
        last = max(promised or others or deadlines, default=0.0)
        near = (moment for moment in (*others, *deadlines) if moment <= _FAR_OFF * last)
        # Where everything is over there is nothing to show, but a chart has some width.
        return max((last, *near)) if last > 0 else 1.0


def peak(holds: Iterable[ShownHold]) -> int:
    """Return how many devices are held at most at once from now on; what is overdue may be others' by now."""
    # A job's status says when it began and not when each of its workers did: devices may have been others' before.
    begun = ((hold.from_s if hold.to_s <= 0 else max(0.0, hold.from_s), hold) for hold in holds)
    changes = [change for from_s, hold in begun for change in ((from_s, hold.count), (hold.to_s, -hold.count))]
    most = held = 0
    for _, change in sorted(changes):  # what ends goes before what begins at the same time
        held += change
        most = max(most, held)
    return most


def work_words(*, images: int, mini_batch_size: int, engine: str) -> str:
    """Return what a hold's devices do."""
    return f"{counted(images, 'image')} in mini-batches of {mini_batch_size:,} with {engine}"
