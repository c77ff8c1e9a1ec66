"""The settings of profiling on nodes, as the chart hands them to the operator."""

import pytest

from dueby_api.errors import Invalid
from dueby_api.inference_job import Model
from dueby_api.schema import validate
from dueby_operator.settings import ProfilerSettings, Window, read_maintenance, read_profiler


def test_the_charts_values_are_read() -> None:
    found = read_profiler(
        '{"namespace": "n", "name": "p", "enabled": true, "window": {"start": "02:15", "hours": 1, "days": "*", '
        '"timeZone": "Europe/Madrid"}, "models": [{"name": "resnet50", "precision": "fp16"}], "timeLimit": "90m", '
        '"tolerations": []}'
    )
    assert (found.limit_s, found.window.start_minutes) == (5400, 135)
    assert found.models == (Model(name="resnet50", precision="fp16"),)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        pytest.param("{", "--profiler", id="no JSON"),
        pytest.param('{"namespace": "n"}', "name", id="a name is missing"),
        pytest.param('{"namespace": "n", "name": "p", "window": {"start": "25:00"}}', "window.start", id="25 h"),
        pytest.param('{"namespace": "n", "name": "p", "timeLimit": "1d"}', "timeLimit", id="days"),
    ],
)
def test_what_is_wrong_is_named(text: str, field: str) -> None:
    with pytest.raises(Invalid) as raised:
        read_profiler(text)
    assert field in str(raised.value)


def test_maintenance_is_read() -> None:
    (found,) = read_maintenance(
        '{"windows": [{"from": "2026-12-06T02:00:00Z", "to": "2026-12-06T05:00:00+01:00", '
        '"nodeSelector": {"pool": "a"}}]}'
    )
    assert (found.to_time - found.from_time).total_seconds() == 7200
    assert found.node_selector == {"pool": "a"}


@pytest.mark.parametrize(
    ("window", "sentence"),
    [
        pytest.param('{"from": "2026-12-06T02:00:00Z"}', "to", id="no end"),
        pytest.param('{"from": "sunday", "to": "2026-12-06T04:00:00Z"}', "from", id="no time"),
        pytest.param('{"from": "2026-12-06T04:00:00", "to": "2026-12-06T05:00:00Z"}', "no offset", id="no offset"),
        pytest.param(
            '{"from": "2026-12-06T04:00:00Z", "to": "2026-12-06T04:00:00Z"}', "later than from", id="no time in it"
        ),
        pytest.param(
            '{"from": "2026-12-06T02:00:00Z", "to": "2026-12-06T04:00:00Z", "nodes": 1}', "nodes", id="unknown"
        ),
    ],
)
def test_what_is_wrong_with_maintenance_is_named(window: str, sentence: str) -> None:
    with pytest.raises(Invalid) as raised:
        read_maintenance(f'{{"windows": [{window}]}}')
    assert "--maintenance" in str(raised.value)
    assert sentence in str(raised.value)


def test_it_has_defaults() -> None:
    assert validate(ProfilerSettings, {"namespace": "n", "name": "p"}).window == Window()
