"""Which nodes are silent: those whose Lease has not changed for too long, by the operator's own clock."""

from dueby_operator.gathering.progress import SILENT_US, NodeHeartbeats


def test_a_node_whose_lease_stands_still_for_long_enough_is_silent() -> None:
    heartbeats = NodeHeartbeats()
    assert not heartbeats.is_silent("a", "10:00", now_us=0)
    assert not heartbeats.is_silent("a", "10:00", now_us=SILENT_US)
    assert heartbeats.is_silent("a", "10:00", now_us=SILENT_US + 1)


def test_a_renewal_begins_the_count_again() -> None:
    heartbeats = NodeHeartbeats()
    heartbeats.is_silent("a", "10:00", now_us=0)
    assert not heartbeats.is_silent("a", "10:10", now_us=SILENT_US + 1)
    assert heartbeats.is_silent("a", "10:10", now_us=2 * SILENT_US + 2)


def test_a_node_whose_workers_answer_is_forgotten() -> None:
    heartbeats = NodeHeartbeats()
    heartbeats.is_silent("a", "10:00", now_us=0)
    heartbeats.forget_all_but([])
    assert not heartbeats.is_silent("a", "10:00", now_us=10 * SILENT_US)
