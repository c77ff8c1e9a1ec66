"""Which windows begin now."""

from dueby_planner.schedule.begin import Room, due
from dueby_planner.schedule.calendar import Placement
from dueby_planner.schedule.devices import DeviceGroup, DeviceGroups
from dueby_planner.schedule.ledger import GIVEN_OUT, BesideOthers, Ledger
from dueby_planner.schedule.reservation import Lane, Window
from support.calendar import CHOICE, calendar_job

KEY = ("team", "job")
GROUPS = DeviceGroups(all=(DeviceGroup(name="a", device_class="a", devices=2, idle=2, users=frozenset({KEY})),))


def test_a_window_of_which_too_little_is_left_to_do_anything_is_not_begun() -> None:
    nothing = Ledger(groups=GROUPS, free={GIVEN_OUT: {}}, expected={})
    room = Room(key=KEY, groups=GROUPS, beside=BesideOthers(nothing, {}), idle={"a": 2})
    over, whole = Window(0, 10, CHOICE, 0), Window(0, 60, CHOICE, 50)
    lanes = tuple(Lane(group="a", count=1, windows=(window,)) for window in (over, whole))
    job = calendar_job("job", images=50, time=100)
    begun = due(Placement(job=job, action="Start", reservation=lanes), room, least_us=lambda window: 0)
    assert [each.window for each in begun] == [whole]
    assert not due(Placement(job=job, action="Start", reservation=lanes[:1]), room, least_us=lambda window: 0)
