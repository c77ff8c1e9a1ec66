"""Which windows begin now."""

from dueby_planner.schedule.begin import Candidate
from dueby_planner.schedule.calendar import make_calendar
from dueby_planner.schedule.calendar_job import Placement
from dueby_planner.schedule.devices import DeviceGroup, DeviceGroups
from dueby_planner.schedule.free_devices import CalendarPool, idle_pool
from dueby_planner.schedule.held_devices import GIVEN_OUT, FreeNow
from dueby_planner.schedule.reservation import Lane, Reservation, Window
from dueby_planner.schedule.usable import Usable
from support.calendar import CHOICE, calendar_job
from support.operator import model

KEY = ("team", "job")
GROUPS = DeviceGroups(all=(DeviceGroup(name="a", device_class="a", devices=2, idle=2, users=frozenset({KEY})),))


def test_a_window_of_which_too_little_is_left_to_do_anything_is_not_begun() -> None:
    nothing = CalendarPool(whole={}, free={GIVEN_OUT: {}}, expected={})
    over, whole = Window(0, 10, CHOICE, 0), Window(0, 60, CHOICE, 50)
    lanes = tuple(Lane(group="a", count=1, windows=(window,)) for window in (over, whole))
    job = calendar_job("job", images=50, time=100)
    usable = Usable(job=model(key=KEY), pool=job.problem.pool, groups=GROUPS)

    def due(reservation: Reservation) -> tuple[int, ...]:
        placement = Placement(job=job, reservation=reservation)
        calendar = make_calendar([job], idle_pool({"a": 2}))
        now = FreeNow(GROUPS, nothing)
        return Candidate(usable=usable, placement=placement, calendar=calendar, now=now, idle={"a": 2}).due()

    assert due(lanes) == (0, 1)
    assert due(lanes[:1]) == (0,)
