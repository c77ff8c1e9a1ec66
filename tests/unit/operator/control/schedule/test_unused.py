"""Which devices count as idle although jobs wait."""

import pytest

from dueby_operator.cluster.quotas import Bound
from dueby_operator.control.schedule import is_waiting
from support.decisions import indexed, infj, look, node, started

NO_ROOM = {"team": {"pods": Bound(0.0, 0.0)}}


def test_idle_devices_that_a_job_which_waits_could_use_are_unused() -> None:
    found = look(infj(status=indexed()), room=NO_ROOM)
    assert is_waiting(found.status)
    assert found.decisions.left.unused == {"cpu-1": 8}


def test_devices_that_it_may_not_use_are_not() -> None:
    spec = {"worker": {"nodeSelector": {"disk": "fast"}}}
    assert look(infj(status=indexed(), **spec), room=NO_ROOM).decisions.left.unused == {}


def test_devices_that_others_have_are_not() -> None:
    full = {"n": node(cpus=0)}
    found = look(infj(status=indexed()), nodes=full)
    assert is_waiting(found.status)
    assert not any(found.decisions.left.unused.values())


@pytest.mark.parametrize("room", [pytest.param({}, id="it starts"), pytest.param(NO_ROOM, id="it has workers")])
def test_nothing_is_unused_while_no_job_waits(room: dict[str, dict[str, Bound]]) -> None:
    found = look(started().job(), room=room) if room else look(infj(status=indexed()))
    assert not is_waiting(found.status)
    assert found.decisions.left.unused == {}
