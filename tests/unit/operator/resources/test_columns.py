"""What `kubectl get` shows fits on a terminal, each column with the widest thing that it usually has."""

from typing import get_args

from dueby_api.status import Phase
from dueby_api.units import format_duration, format_progress, format_time
from dueby_operator.resources.crds import JOB_COLUMNS
from support.decisions import NOW

_YEAR_US = 365 * 24 * 3_600_000_000
# kubectl leaves so many columns between two.
_GAP = 3
WIDEST = {
    "Phase": max(get_args(Phase), key=len),
    "GPUs": "1000",
    "Images": format_progress(99_999, 99_999, comma=""),
    "Ends": format_time(NOW),
    "Slack": format_duration(-_YEAR_US),
    "Age": "364d",
}


def test_a_job_is_shown_in_100_columns() -> None:
    shown = [title for title, _, _, priority in JOB_COLUMNS if priority == 0]
    widths = [len("a-name-with-24-letters-01"), *(max(len(title), len(WIDEST[title])) for title in shown)]
    assert sum(widths) + _GAP * (len(widths) - 1) <= 100
