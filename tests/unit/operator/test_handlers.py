"""How Kopf is told to try again without an end."""

from itertools import islice

import kopf

from dueby_operator.handlers import configure


def test_kopf_tries_again_for_ever_and_is_never_late_by_more_than_seconds() -> None:
    settings = kopf.OperatorSettings()
    configure(settings)
    backoffs = settings.networking.error_backoffs
    assert not isinstance(backoffs, float | int)
    for _ in range(2):  # each request begins anew
        assert list(islice(iter(backoffs), 6)) == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]
