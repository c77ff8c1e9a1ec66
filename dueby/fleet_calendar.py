"""Jobs on a fleet, which need not exist, as the planner's calendar: what is there, comes and goes, or can be asked for.

What can be asked for of a pool are devices of their own in the calendar, by a name that has their class and the pool.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from dueby.inputs.manifests import naming
from dueby.inputs.pools import Fleet
from dueby.planning import shared_problem
from dueby_api.capacity import NodePool, SpotNodes
from dueby_api.errors import Invalid
from dueby_api.gpu_profile import GPUProfile
from dueby_api.inference_job import InferenceJob
from dueby_api.spot import SpotUse, is_used
from dueby_planner.model.capacity import PoolGroup, Provision, asked_for
from dueby_planner.model.losses import loss_rate
from dueby_planner.profiles.machine_pool import machine_pool
from dueby_planner.profiles.observed import learn_provision
from dueby_planner.schedule.calendar import Calendar, make_calendar
from dueby_planner.schedule.calendar_job import CalendarJob
from dueby_planner.schedule.free_devices import CHANGE_US, always_free, free_over_time, idle_pool, proven
from dueby_planner.schedule.stores import StoreUse, shared_units, store_uses
from dueby_planner.schedule.verify import verify_calendar

Known = Sequence[tuple[InferenceJob, list[GPUProfile]]]
"""Each job with the profiles that are known of its model, measured and predicted."""

Provisions = Mapping[str, Provision]
"""By pool, how long its nodes take to come."""

# What the name of devices of a pool has between their class, which has no spaces, and the pool.
ASKED_FOR = ", asked for of "


def provision_of(profiled_jobs: Known, fleet: Fleet) -> dict[str, Provision]:
    """Return by pool how long its nodes take to come, as the jobs' profiles have it."""
    profiles = {profile.name: profile for _, known in profiled_jobs for profile in known}
    return learn_provision(fleet.node_pools, profiles.values())


def calendar_of(profiled_jobs: Known, fleet: Fleet, provision: Provisions, *, now_us: int) -> Calendar:
    """Return the calendar of jobs that are created now, each with a name of its own, on the devices of a fleet.

    `provision` is how long nodes of its pools take to come. Raise Invalid if a job can't be planned.
    """
    free = free_over_time(fleet.counts, fleet.capacity, now_us=now_us)
    counts = {name: max(step.free for step in steps) for name, steps in free.items()}
    asked = {f"{pool.device_class}{ASKED_FOR}{pool.name}": pool for pool in fleet.node_pools}
    classes = Counter({pool.device_class: pool.devices for pool in fleet.node_pools}) | Counter(counts)
    placed: list[CalendarJob] = []
    uses: dict[str, tuple[StoreUse, ...]] = {}
    for job, profiles in profiled_jobs:
        with naming(job):
            whole = shared_problem(job, profiles, classes, now_us=now_us)
            # BestEffort jobs ask for nothing.
            may_ask = asked if job.spec.deadline_class != "BestEffort" else {}
            # Where nobody says that a device is spot, nothing is known of that.
            use = job.spec.spot_use if any(pool.spot for pool in fleet.node_pools) else "Prefer"
            groups = _with_pools(whole.pool.groups, counts, may_ask, provision, use)
            whole = replace(whole, pool=replace(whole.pool, groups=groups))
            uses[job.metadata.name] = store_uses(whole)
            problem = whole.within_feed()
            _ = problem.rule  # which refuses a confidence that is too high for the profiles
        placed.append(CalendarJob(name=job.metadata.name, deadline_class=job.spec.deadline_class, problem=problem))
    units = shared_units(uses.values())
    jobs = [
        replace(job, limits={use.limit: use.costs for use in uses[job.name] if use.limit in units}) for job in placed
    ]
    free |= {name: always_free(pool.devices) for name, pool in asked.items()}
    pool = idle_pool({}, limits=units, change_us=CHANGE_US)
    tables = {kind: {**table, **free} for kind, table in pool.free.items()}
    # As in a cluster: where devices that are there will do, nobody asks.
    tables["BestEffort"] |= {name: always_free(0) for name in asked}
    proved = {name: proven(steps) for name, steps in free.items()}
    calendar = make_calendar(jobs, replace(pool, whole=proved, free=tables, expected=tables))
    verify_calendar(calendar)
    return calendar


def _with_pools(
    groups: Iterable[PoolGroup],
    counts: Mapping[str, int],
    asked: Mapping[str, NodePool],
    provision: Provisions,
    use: SpotUse,
) -> tuple[PoolGroup, ...]:
    """Return the devices that are there, and what pools could have besides, by name; those that the job uses."""
    spot_first = use == "Prefer" and any(pool.spot for pool in asked.values())
    found = []
    for group in groups:
        there = counts.get(group.device_class, 0) if is_used(use, spot=False) else 0
        found.append(replace(group, count=there, is_fallback=spot_first))
        for name, pool in asked.items():
            if pool.device_class == group.device_class:
                count = pool.devices if is_used(use, spot=pool.spot) else 0
                of_pool = replace(
                    group,
                    device_class=name,
                    count=count,
                    is_fallback=spot_first and not pool.spot,
                    losses=loss_rate(SpotNodes(), pool, provision[pool.name].late_us) if pool.spot else None,
                )
                found.append(asked_for(of_pool, provision[pool.name]))
    return tuple(found)


def class_named(name: str) -> str:
    return name.partition(ASKED_FOR)[0]


def pool_named(name: str) -> str | None:
    """Return the pool that they are asked for of; None if they needn't be."""
    return name.partition(ASKED_FOR)[2] or None


def machine_of(profiled_jobs: Known) -> dict[str, int]:
    """Return this machine's devices, if all jobs take the same of them."""
    pools = {
        job.metadata.name: machine_pool(profiles, job.spec.model, classes=job.spec.gpus.classes)
        for job, profiles in profiled_jobs
    }
    first = profiled_jobs[0][0].metadata.name
    for name, pool in pools.items():
        if pool != pools[first]:
            one, other = (
                ", ".join(f"{device}={count}" for device, count in counts.items()) for counts in (pools[first], pool)
            )
            raise Invalid(
                "--pool",
                f"is missing: {first} is fastest on {one} of this machine and {name} on {other}, which are the same "
                "cores. Give the devices to plan with.",
            )
    return pools[first]
