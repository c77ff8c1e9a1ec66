"""What Kopf is told: to try again without an end, and to ask for little."""

from itertools import islice

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


def test_kopf_watches_what_no_tenant_makes_and_asks_for_few_at_once() -> None:
    settings, loop = kopf.OperatorSettings(), ControlLoop(SETTINGS, sign_in=lambda: Open(""), claim=None)
    configure(settings)
    handlers = register(loop)._watching.get_all_handlers()
    assert [handler.selector.any_name for handler in handlers if handler.selector] == ["gpuprofiles"]
    assert settings.watching.chunk_size == 500
