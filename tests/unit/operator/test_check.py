"""What `helm test` says of an operator that is well, and of one that isn't."""

from collections.abc import Callable

import pytest

from dueby_operator.check import Unwell, check, read
from dueby_operator.control.world import World
from dueby_operator.metrics import Metrics

HEALTH, METRICS = "http://operator:8081/healthz", "http://operator:8080/metrics"


def answering(page: str) -> Callable[[str], str]:
    return {HEALTH: "{}", METRICS: page}.__getitem__


def page_after_a_look() -> str:
    metrics = Metrics()
    metrics.record_look(World(now_us=1, nodes={}, profiles=(), jobs=[], batch={}, pods={}), seconds=0.1)
    return metrics.page()


def test_an_operator_that_has_looked_is_well() -> None:
    assert "is well" in check(HEALTH, METRICS, read=answering(page_after_a_look()))


def test_an_operator_that_never_looked_is_sent_to_its_log() -> None:
    with pytest.raises(Unwell, match="has not had a look at the cluster that went well; its log says why"):
        check(HEALTH, METRICS, read=answering(Metrics().page()))


def test_a_page_of_something_else_is_told_by_what_it_lacks() -> None:
    page = "\n".join(line for line in page_after_a_look().splitlines() if "dueby_jobs" not in line)
    with pytest.raises(Unwell, match="lacks dueby_jobs; does an operator of this version"):
        check(HEALTH, METRICS, read=answering(page))


def test_a_port_where_nobody_answers_is_named() -> None:
    with pytest.raises(Unwell, match=r"http://127\.0\.0\.1:1/healthz doesn't answer .*see its pod"):
        check("http://127.0.0.1:1/healthz", METRICS, read=read)
