"""A source that grows, and jobs that add what is new in it to one sink, night after night.

Usually a night comes when the job of the one before is over. Some come earlier: their jobs wait, and finish what they
find unfinished.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from support.world.cluster import phase_of
from support.world.excuses import OVER
from support.world.objects import Stored

if TYPE_CHECKING:
    from support.world.scenario import Scenario

SOURCE, SINK = "s3://photos/nights", "s3://out/nights"
NIGHTS = ("night-1", "night-2", "night-3")
# A night comes so long after the one before is over; after the last time, none comes any more.
PAUSE_S, LAST_S = 3.0, 300.0


@dataclass(eq=False)
class Nights:
    """The nights of a world."""

    scenario: Scenario
    photos: int = 0
    wanted: dict[str, dict[str, int]] = field(default_factory=dict)
    """Of each job that finds a finished sink: the generation that each photo's row must be of at least."""

    def begin(self) -> None:
        """Have the first night come soon."""
        self.scenario.cluster.server.listeners.append(self._changed)
        self.scenario.later(self.scenario.cluster.world.chance.uniform(0, 10), NIGHTS[0], self._come)

    def _come(self, name: str) -> None:
        """Let the source grow, and apply the night's job."""
        scenario, chance = self.scenario, self.scenario.cluster.world.chance
        place, see_changes = NIGHTS.index(name), chance.random() < 0.7
        known = scenario.checks.rows.generations_by_uri(SINK)
        changed = [number for number in range(self.photos) if chance.random() < 0.2]
        for number in changed:
            scenario.cluster.put_photos(SOURCE, 1, first=number, content=f"photo of {name}")
        added = chance.choice((0, 3, 12) if place else (12, 20, 30))
        scenario.cluster.put_photos(SOURCE, added, first=self.photos)
        self.photos += added
        scenario.cluster.world.tell(f"{name}: {added} photos are new, {len(changed)} are written again")
        if known is not None:
            newest = max(known.values())
            photos = scenario.cluster.photos(SOURCE, range(self.photos))
            self.wanted[name] = {uri: 1 if uri in known else newest + 1 for uri in photos}
            if see_changes:
                self.wanted[name] |= dict.fromkeys(scenario.cluster.photos(SOURCE, changed), newest + 1)
        spec = {**scenario.spec(SOURCE, SINK), "sink": {"uri": SINK, "ifExists": "Append", "changed": see_changes}}
        scenario.jobs[name] = spec
        scenario.submit(name)
        scenario.change_minds(name)
        if place + 1 < len(NIGHTS):
            self.scenario.later(PAUSE_S, NIGHTS[place + 1], self._come if chance.random() < 0.15 else self._wait)

    def _wait(self, name: str) -> None:
        """Let the night come once the job of the one before is over."""
        cluster = self.scenario.cluster
        before = cluster.job(NIGHTS[NIGHTS.index(name) - 1])
        if before is not None and phase_of(before) in OVER:
            self._come(name)
        elif cluster.world.seconds < LAST_S:
            self.scenario.later(PAUSE_S, name, self._wait)

    def _changed(self, before: Stored | None, after: Stored | None) -> None:
        """See that a night's job that has succeeded leaves each photo with a row of its newest content."""
        if after is None or after.place.kind != "inferencejobs" or phase_of(after) != "Succeeded":
            return
        name, checks = after.place.name, self.scenario.checks
        known = checks.rows.generations_by_uri(SINK)
        if name not in self.wanted or known is None or (before is not None and phase_of(before) == "Succeeded"):
            return
        for uri, generation in self.wanted[name].items():
            if known.get(uri, 0) < generation:
                checks.fail(f"{name} has succeeded, and the row of {uri} is of generation {known.get(uri)}")
                return
