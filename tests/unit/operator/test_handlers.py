"""What Kopf is told: to try again without an end, to ask for little, and what wakes the loop."""

from collections.abc import Callable
from itertools import islice
from typing import Any

import kopf

from dueby_operator.handlers import configure, register
from dueby_operator.loop import ControlLoop
from support.api import Open
from support.decisions import SETTINGS


def test_kopf_tries_again_for_ever_and_is_never_late_by_more_than_seconds() -> None:
    settings = kopf.OperatorSettings()
    configure(settings)
    backoffs = settings.networking.error_backoffs
    assert not isinstance(backoffs, float | int)
    for _ in range(2):  # each request begins again
        assert list(islice(iter(backoffs), 6)) == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]


def handlers(wake: Callable[[str], None] = lambda kind: None) -> dict[str, Callable[..., Any]]:
    loop = ControlLoop(SETTINGS, sign_in=lambda: Open(""), claim=None)
    found = register(loop, wake=wake)._watching.get_all_handlers()
    return {str(handler.selector.any_name): handler.fn for handler in found if handler.selector}


def test_kopf_watches_jobs_and_profiles_and_keeps_few_at_once() -> None:
    settings = kopf.OperatorSettings()
    configure(settings)
    assert set(handlers()) == {"inferencejobs", "gpuprofiles"}
    assert settings.watching.chunk_size == 5
    assert settings.queueing.idle_timeout <= 0.1


def test_a_job_that_comes_is_edited_or_goes_wakes_the_loop_and_a_status_does_not() -> None:
    woken: list[str] = []
    told = handlers(woken.append)["inferencejobs"]

    def wakes(kind: str | None, **meta: object) -> bool:
        before = len(woken)
        told(event={"type": kind, "object": {}}, uid="a", meta={"generation": 1, **meta})
        return len(woken) > before

    assert wakes(None)  # listed
    assert not wakes("MODIFIED")
    assert wakes("MODIFIED", generation=2)
    assert wakes("MODIFIED", generation=2, deletionTimestamp="now")
    assert wakes("DELETED", generation=2, deletionTimestamp="now")
    assert wakes("ADDED")
    assert set(woken) == {"inferencejobs"}
