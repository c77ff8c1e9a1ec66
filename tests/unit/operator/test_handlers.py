"""What wakes the loop, and how Kopf is told to try again without an end."""

from itertools import islice
from typing import Any

import kopf

from dueby_operator.handlers import JobVersions, configure


def test_a_job_that_comes_is_edited_or_goes_is_news_and_a_status_is_not() -> None:
    versions = JobVersions()

    def is_news(kind: str | None, **change: Any) -> bool:
        return versions.is_news(
            kind, {"metadata": {"uid": "u", "generation": 1, **change}, "status": {"phase": "Running"}}
        )

    assert [is_news(None), is_news("MODIFIED"), is_news("MODIFIED", generation=2)] == [True, False, True]
    assert [is_news("MODIFIED", generation=2, deletionTimestamp="now"), is_news("DELETED")] == [True, True]
    assert is_news("ADDED")


def test_kopf_tries_again_for_ever_and_is_never_late_by_more_than_seconds() -> None:
    settings = kopf.OperatorSettings()
    configure(settings)
    backoffs = settings.networking.error_backoffs
    assert not isinstance(backoffs, float | int)
    for _ in range(2):  # each request begins anew
        assert list(islice(iter(backoffs), 6)) == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]
