"""What is free for one job beside all others is the same, whether the others are added up once or for each job."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from dueby_planner.schedule.calendar_job import Placement
from dueby_planner.schedule.devices import DeviceGroup, DeviceGroups, Limit
from dueby_planner.schedule.free_devices import CalendarPool, Step, Taken, always_free, without
from dueby_planner.schedule.held_devices import GIVEN_OUT, FreeNow, claims_of_all
from dueby_planner.schedule.job import JobKey
from dueby_planner.schedule.reservation import Lane, Window
from support.calendar import CHOICE, calendar_job

KEYS: list[JobKey] = [("team", f"job-{number}") for number in range(4)]
times = st.integers(0, 20)
spans = st.tuples(times, times).map(sorted).filter(lambda span: span[0] < span[1])
lanes = st.builds(
    lambda name, count, span: Lane(group=name, count=count, windows=(Window(span[0], span[1], CHOICE, 1),)),
    st.sampled_from(["a", "b"]),
    st.integers(1, 3),
    spans,
)
busy = st.lists(st.builds(lambda span, count: Taken(span[0], span[1], count), spans, st.integers(1, 3)), max_size=3)


@given(
    reservations=st.lists(st.lists(lanes, max_size=3), min_size=len(KEYS), max_size=len(KEYS)),
    taken=st.tuples(busy, busy, busy),
    within_us=st.integers(0, 25),
    has_quota=st.booleans(),
)
def test_a_job_finds_the_same_beside_others_as_if_they_were_added_up_for_it_alone(
    reservations: list[list[Lane]],
    taken: tuple[list[Taken], ...],
    within_us: int,
    has_quota: bool,
) -> None:
    devices = tuple(
        DeviceGroup(name=name, device_class=name, devices=8, idle=8, users=frozenset(KEYS)) for name in "ab"
    )
    quota = Limit(name="quota", units=9, used=0, costs={key: {"a": 1, "b": 2} for key in KEYS})
    groups = DeviceGroups(all=devices, limits=(quota,) if has_quota else ())
    table: dict[str, tuple[Step, ...]] = {
        name: without(always_free(8), of_name) for name, of_name in zip(("a", "b", "quota"), taken, strict=True)
    }
    pool = CalendarPool(whole={}, free={GIVEN_OUT: table}, expected={GIVEN_OUT: table})
    placements = {
        key: Placement(
            job=replace(calendar_job(key[1], images=1, time=100), limits=groups.costs(key)),
            reservation=tuple(reservation),
        )
        for key, reservation in zip(KEYS, reservations, strict=True)
    }
    beside = FreeNow(groups, pool, placements)
    for key in KEYS:
        others = {other: placement for other, placement in placements.items() if other != key}
        alone = FreeNow(groups, pool.less(claims_of_all(others), of=(GIVEN_OUT,)))
        wanted = {"a": 5, "b": 5}
        assert beside.devices(key, wanted, within_us) == alone.devices(key, wanted, within_us)
