"""Which nodes are silent: their Leases stand still by this side's clock."""

from dueby_operator.cluster.node_heartbeat import SILENT_US, Silence


def test_a_lease_that_stands_still_for_long_enough_is_silence() -> None:
    silence = Silence()
    assert not silence.note("a", "10:00", now_us=0)
    assert not silence.note("a", "10:00", now_us=SILENT_US)
    assert silence.note("a", "10:00", now_us=SILENT_US + 1)


def test_a_renewal_begins_the_count_anew() -> None:
    silence = Silence()
    silence.note("a", "10:00", now_us=0)
    assert not silence.note("a", "10:10", now_us=SILENT_US + 1)
    assert silence.note("a", "10:10", now_us=2 * SILENT_US + 2)


def test_a_node_whose_workers_answer_is_forgotten() -> None:
    silence = Silence()
    silence.note("a", "10:00", now_us=0)
    silence.forget_all_but([])
    assert not silence.note("a", "10:00", now_us=10 * SILENT_US)
