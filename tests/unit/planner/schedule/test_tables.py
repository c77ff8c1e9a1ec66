"""What is left of the tables of free devices beside reservations."""

from dueby_planner.schedule.free_devices import Taken
from dueby_planner.schedule.reservation import Lane, Tables, Window, claims_of
from support.calendar import CHOICE, steps


def held(name: str, count: int) -> list[tuple[str, Taken]]:
    return claims_of((Lane(group=name, count=count, windows=(Window(10, 20, CHOICE, 0),)),), {})


def test_a_reservation_is_taken_from_every_table_as_far_as_there_is_something() -> None:
    tables = Tables({"Hard": {"a": steps((0, 5))}, "BestEffort": {"a": steps((0, 1))}})
    assert tables.left("Hard") == {"a": steps((0, 5))}
    tables.take(held("a", 2))
    assert tables.left("Hard") == {"a": steps((0, 5), (10, 3), (20, 5))}
    assert tables.left("BestEffort") == {"a": steps((0, 1), (10, 0), (20, 1))}


def test_what_is_taken_before_and_after_a_table_is_asked_for_is_the_same() -> None:
    early, late = (Tables({"Hard": {"a": steps((0, 5)), "b": steps((0, 5))}}) for _ in range(2))
    assert early.left("Hard")
    for tables in (early, late):
        tables.take(held("a", 1))
        tables.take(held("b", 1))
    assert early.left("Hard") == late.left("Hard")
