"""The example of docs/sharing.md shows what the command beside it prints."""

import re
from pathlib import Path

from deadline_classes import NODES, simulate
from support.shared_cluster import SharedCluster

PAGE = Path(__file__).parents[3] / "docs" / "sharing.md"


def test_the_page_shows_what_is_printed() -> None:
    shown = [line for line in PAGE.read_text().splitlines() if re.match(r"\| \d+:\d\d \|", line)]
    assert shown == list(simulate(SharedCluster(NODES)))
