"""What the loop does about profiling on nodes: it lists CronJobs and their Jobs, decides, and carries it out.

Not at every look, for in a large cluster that is a thousand CronJobs of some kilobytes each; and no more than some
writes at a time, so that a model that a first job uses on a thousand nodes holds up nobody.
"""

import asyncio
import logging
from collections.abc import Sequence

from dueby_api.errors import Transient
from dueby_api.gpu_profile import parse_profile
from dueby_operator.control.conditions import moment
from dueby_operator.control.world import Document, World
from dueby_operator.control.writes import Change, Delete, Write, carry_out
from dueby_operator.jobs import names
from dueby_operator.jobs.manifests import Setting
from dueby_operator.kube.client import Conflict, Kube, Missing, Refused
from dueby_operator.profiling.drift import clocks, drifts, measure_again
from dueby_operator.profiling.profile_condition import currents
from dueby_operator.profiling.scheduled import follow_nodes, found_in, read_jobs, store
from dueby_operator.profiling.settings import Profiler

# Between two looks, and writes of one.
PAUSE_US, MAX_WRITES = 10_000_000, 64
AT_ONCE = 16
log = logging.getLogger(__name__)


class NodeProfiling:
    """Profiling on nodes, one look at a time."""

    def __init__(self, kube: Kube, setting: Setting) -> None:
        self._kube = kube
        self._setting = setting
        self._looked_us = 0

    async def look(self, world: World) -> float:
        """Look, if it is time, and do what is to do; seconds until it is time again."""
        profiler = self._setting.profiler
        if profiler is None:
            return PAUSE_US / 1e6
        if (left_us := self._looked_us + PAUSE_US - world.now_us) > 0:
            return left_us / 1e6
        self._looked_us = world.now_us
        try:
            there, batch = await asyncio.gather(
                self._kube.list(names.cron_jobs_path(profiler.namespace), labelSelector=names.PROFILED),
                self._kube.list(names.batch_path(profiler.namespace), labelSelector=names.PROFILED),
            )
        except (Refused, Transient) as error:  # jobs go on without
            log.warning("nodes are not profiled: %s", error)
            return PAUSE_US / 1e6
        writes = await asyncio.to_thread(decide_on_nodes, world, self._setting, profiler, there, batch)
        turns = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(*(self._carry_out(write, turns) for write in writes[:MAX_WRITES]))
        return PAUSE_US / 1e6

    async def _carry_out(self, write: Write, turns: asyncio.Semaphore) -> None:
        try:
            async with turns:
                await carry_out(self._kube, [write])
        except Refused as error:  # jobs go on without
            log.warning("profiling on nodes: %s", error)
        except (Conflict, Missing, Transient) as error:  # the next look shows it
            log.info("profiling on nodes: %s", error)


def decide_on_nodes(
    world: World, setting: Setting, profiler: Profiler, there: Sequence[Document], batch: Sequence[Document]
) -> list[Write]:
    """What is to be written: profiles and what is said of them, CronJobs, Jobs out of turn."""
    stored = store(found_in(world.profiled, batch, world.nodes), world.profiles)
    new = {put.document["metadata"]["name"]: parse_profile(put.document) for put in stored}
    profiles = [new.get(profile.name, profile) for profile in world.profiles]
    following = follow_nodes(
        world.nodes.values(), read_jobs(world.jobs), setting, profiler, profiles=profiles, there=there
    )
    drifted = drifts(profiles, world.nodes, image=setting.image)
    # One that is about to change would measure with what it was made of before.
    changing = {write.path.rpartition("/")[2] for write in following if isinstance(write, Change | Delete)}
    found = clocks(document for document in there if document["metadata"]["name"] not in changing)
    off = [(profile, drift) for profile in profiles if (drift := drifted.get(profile.name))]
    again = measure_again(off, found, batch, now_us=world.now_us)
    said = currents(
        profiles,
        drifted,
        found,
        [*batch, *(add.document for add in again)],
        generations=world.generations,
        now=moment(world.now_us),
        new=new,
    )
    return [*stored, *following, *again, *said]
