"""The settings of profiling on nodes, as the chart hands them to the operator."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_api.budgets import NamespaceBudget, budget_of
from dueby_api.capacity import SpotNodes, WeeklyWindow
from dueby_api.errors import Invalid
from dueby_api.inference_job import Model
from dueby_api.schema import validate
from dueby_operator.settings import (
    ProfilerSettings,
    ProfilingWindow,
    read_budgets,
    read_capacity,
    read_maintenance,
    read_node_pools,
    read_prices,
    read_profiler,
    read_promises,
    read_spot,
    require_prices_of_budgets,
)
from dueby_planner.model.cost import Price, Tariff

WEEKLY = {"days": "Sat", "start": "22:00", "hours": 8}


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
    assert found.from_time
    assert found.to_time
    assert (found.to_time - found.from_time).total_seconds() == 7200
    assert found.node_selector == {"pool": "a"}


BLOCK = {"class": "NVIDIA-H100", "count": 8, "from": "2026-12-06T02:00:00Z", "to": "2026-12-06T04:00:00Z"}


def test_capacity_is_read() -> None:
    once, weekly = read_capacity(
        json.dumps({"capacity": [BLOCK, {"class": "cpu-1", "count": 1, "nodeSelector": {"a": "b"}, "weekly": WEEKLY}]})
    )
    assert (once.device_class, once.count) == ("NVIDIA-H100", 8)
    assert once.selects({"any": "node"})
    assert weekly.selects({"a": "b", "c": "d"})
    assert not weekly.selects({"c": "d"})
    assert weekly.is_open_to({"a": "b"})
    assert not weekly.is_open_to({"c": "d"})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        pytest.param({"count": 0}, "count", id="no device"),
        pytest.param({"count": 10**7}, "count", id="more than anybody has"),
        pytest.param({"count": 1.5}, "count", id="half a device"),
        pytest.param({"class": "NVIDIA-H100@node"}, "class", id="a slow node's own class"),
        pytest.param({"class": ""}, "class", id="no class"),
        pytest.param({"to": "2026-12-06T02:00:00Z"}, "later than from", id="no time in it"),
        pytest.param({"weekly": WEEKLY}, "either from and to, or weekly", id="both forms"),
        pytest.param({"spot": True}, "spot", id="unknown"),
    ],
)
def test_what_is_wrong_with_capacity_is_named(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Invalid) as raised:
        read_capacity(json.dumps({"capacity": [{**BLOCK, **change}]}))
    assert str(raised.value).startswith("--capacity: capacity[0]")
    assert sentence in str(raised.value)


POOL = {
    "name": "a100",
    "class": "NVIDIA-A100",
    "devicesPerNode": 8,
    "maxNodes": 4,
    "nodeSelector": {"pool": "a100"},
    "timeToProvision": "10m",
}


def test_node_pools_are_read() -> None:
    (found,) = read_node_pools(json.dumps({"nodePools": [{**POOL, "taints": [{"key": "a", "effect": "NoSchedule"}]}]}))
    assert (found.device_class, found.devices, found.provision_us) == ("NVIDIA-A100", 32, 600_000_000)
    assert (found.taints[0].key, found.taints[0].value, found.resource) == ("a", "", "nvidia.com/gpu")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        pytest.param({"maxNodes": 0}, "maxNodes", id="no node"),
        pytest.param({"devicesPerNode": 0}, "devicesPerNode", id="no device"),
        pytest.param({"nodeSelector": {}}, "nodeSelector", id="every node"),
        pytest.param({"timeToProvision": "10"}, "timeToProvision", id="a time without its unit"),
        pytest.param({"timeToProvision": "0s"}, "must be longer than 0", id="no time"),
        pytest.param({"taints": [{"key": "a", "effect": "Never"}]}, "effect", id="an effect that there isn't"),
        pytest.param({"resource": "cpu"}, "resource", id="no device's resource"),
        pytest.param({"name": "A 100"}, "name", id="no name"),
        pytest.param({"class": "NVIDIA-A100@node"}, "class", id="a slow node's own class"),
        pytest.param({"lossesPerHour": 0.1}, "lossesPerHour: is given where spot is true", id="losses on demand"),
        pytest.param({"spot": True, "lossesPerHour": -1}, "lossesPerHour", id="fewer than no losses"),
    ],
)
def test_what_is_wrong_with_a_pool_is_named(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Invalid) as raised:
        read_node_pools(json.dumps({"nodePools": [{**POOL, **change}]}))
    assert str(raised.value).startswith("--node-pools: nodePools[0]")
    assert sentence in str(raised.value)


def test_what_is_assumed_of_spot_nodes_is_read() -> None:
    assert read_spot("{}") == SpotNodes()
    assert read_spot('{"lossesPerHour": 0, "replacedAfter": "90s"}').replaced_us == 90_000_000
    with pytest.raises(Invalid, match="--spot: replacedAfter"):
        read_spot('{"replacedAfter": "90"}')


def test_two_pools_have_two_names() -> None:
    with pytest.raises(Invalid, match="names a100 twice"):
        read_node_pools(json.dumps({"nodePools": [POOL, POOL]}))


def test_promises_are_read_as_the_chart_says_them() -> None:
    found = read_promises('{"horizon": "720h", "maxShare": 1, "classes": {"a": ["Hard"], "*": ["Soft", "Relaxed"]}}')
    assert (found.horizon_us, found.max_share) == (30 * 86_400_000_000, 1.0)
    assert (found.classes_of("a"), found.classes_of("b")) == (("Hard",), ("Soft", "Relaxed"))
    assert read_promises("{}").classes_of("a") == ()


@pytest.mark.parametrize(
    ("text", "field"),
    [
        pytest.param('{"maxShare": 0}', "maxShare", id="nothing for anybody"),
        pytest.param('{"maxShare": 50}', "maxShare", id="percent"),
        pytest.param('{"horizon": "30d"}', "horizon", id="days"),
        pytest.param('{"classes": {"a": ["hard"]}}', "classes", id="a class in another case"),
        pytest.param('{"share": 1}', "share", id="unknown"),
    ],
)
def test_what_is_wrong_with_promises_is_named(text: str, field: str) -> None:
    with pytest.raises(Invalid) as raised:
        read_promises(text)
    assert str(raised.value).startswith("--promises")
    assert field in str(raised.value)


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
        pytest.param("{}", "either from and to, or weekly", id="neither form"),
        pytest.param(
            f'{{"from": "2026-12-06T02:00:00Z", "to": "2026-12-06T04:00:00Z", "weekly": {json.dumps(WEEKLY)}}}',
            "either from and to, or weekly",
            id="both forms",
        ),
        pytest.param(
            f'{{"to": "2026-12-06T04:00:00Z", "weekly": {json.dumps(WEEKLY)}}}', "either from and to", id="some of both"
        ),
    ],
)
def test_what_is_wrong_with_maintenance_is_named(window: str, sentence: str) -> None:
    with pytest.raises(Invalid) as raised:
        read_maintenance(f'{{"windows": [{window}]}}')
    assert "--maintenance" in str(raised.value)
    assert sentence in str(raised.value)


@pytest.mark.parametrize(
    ("days", "weekdays"),
    [
        pytest.param("*", "0123456", id="all"),
        pytest.param("Sat", "5", id="a name"),
        pytest.param("sun,0", "6", id="Sunday"),
        pytest.param("MON-fri", "01234", id="names from to"),
        pytest.param("0-1,3", "602", id="numbers"),
    ],
)
def test_days_are_those_of_a_cron_job(days: str, weekdays: str) -> None:
    assert validate(WeeklyWindow, {**WEEKLY, "days": days}).weekdays == set(map(int, weekdays))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        pytest.param({"days": "Sat-Sun"}, "days: sat-sun ends before it begins", id="over the end of a week"),
        pytest.param({"days": "7"}, "days: '7' is no day", id="a day too many"),
        pytest.param({"days": "Caturday"}, "days: 'caturday' is no day", id="no day"),
        pytest.param({"days": "Sat,"}, "days: '' is no day", id="a comma too many"),
        pytest.param({"days": "Sat-"}, "days: '' is no day", id="a dash too many"),
        pytest.param({"days": "²"}, "days", id="a digit that is none"),
        pytest.param({"start": "24:00"}, "start", id="24 h"),
        pytest.param({"start": "22:00\n"}, "start", id="a line end"),
        pytest.param({"hours": 0}, "hours", id="no time"),
        pytest.param({"hours": 168}, "hours", id="a week"),
        pytest.param({"days": "*", "hours": 24}, "hours: leaves no time", id="all days"),
        pytest.param({"days": "0,2,4", "hours": 72}, "hours: leaves no time", id="three days of a week"),
        pytest.param({"timeZone": "Europe/Atlantis"}, "no time zone Europe/Atlantis", id="no zone"),
        pytest.param({"timeZone": "Europe"}, "no time zone Europe", id="a folder of zones"),
        pytest.param({"timeZone": "../etc/passwd"}, "timeZone", id="a path"),
    ],
)
def test_what_is_wrong_with_a_weekly_window_is_named(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Invalid) as raised:
        read_maintenance(json.dumps({"windows": [{"weekly": {**WEEKLY, **change}}]}))
    assert str(raised.value).startswith("--maintenance: windows[0].weekly")
    assert sentence in str(raised.value)


@given(days=st.text("0123456789satSATunmfri*,-", min_size=1, max_size=12), hours=st.integers(1, 167))
def test_any_days_are_read_or_refused_with_a_sentence(days: str, hours: int) -> None:
    try:
        found = validate(WeeklyWindow, {**WEEKLY, "days": days, "hours": hours})
    except Invalid as error:
        refused = error.field
    else:
        refused = ""
        assert found.weekdays <= set(range(7))
    assert refused in ("", "days", "hours")


def test_it_has_defaults() -> None:
    assert validate(ProfilerSettings, {"namespace": "n", "name": "p"}).window == ProfilingWindow()


PRICE = {"class": "NVIDIA-L4", "perHour": 0.71}


def test_prices_are_read() -> None:
    prices = {"currency": "EUR", "billing": {"least": "1m"}, "classes": [PRICE, {**PRICE, "capacityType": "spot"}]}
    tariff = read_prices(json.dumps({"prices": prices}))
    assert tariff.currency == "EUR"
    assert tariff.prices == {"NVIDIA-L4": Price(hourly=710_000, least_us=60_000_000)}


@pytest.mark.parametrize(
    ("prices", "words"),
    [
        pytest.param({}, "prices.classes: is empty", id="none"),
        pytest.param({"classes": [{**PRICE, "perHour": -1}]}, "prices.classes[0].perHour: must be", id="negative"),
        pytest.param({"classes": [{**PRICE, "perHour": "free"}]}, "a number from 0 to 1,000,000", id="a word"),
        pytest.param({"classes": [PRICE, PRICE]}, "names NVIDIA-L4, onDemand, twice", id="twice"),
        pytest.param({"classes": [PRICE], "currency": "€"}, "currency", id="a sign for a currency"),
        pytest.param(
            {"classes": [{**PRICE, "nodePool": "a"}, {**PRICE, "nodePool": "b", "perHour": 1}]},
            "has several prices of NVIDIA-L4 (a 0.71, b 1)",
            id="pools that differ",
        ),
    ],
)
def test_what_is_wrong_with_prices_is_a_sentence(prices: dict[str, Any], words: str) -> None:
    with pytest.raises(Invalid) as raised:
        read_prices(json.dumps({"prices": prices}))
    assert str(raised.value).startswith("--prices: ")
    assert words in str(raised.value)


def test_budgets_are_read() -> None:
    written = {"a": {"window": "720h", "cost": "500 USD"}, "*": {"window": "12h", "cost": "1 USD", "deviceHours": 0.5}}
    budgets = read_budgets(json.dumps({"budgets": written}))
    entry, budget = budget_of(budgets, "a") or ("", NamespaceBudget(window="1h", device_hours=0))
    assert (entry, budget.window_us, budget.money) == ("a", 720 * 3600 * 10**6, (500 * 10**6, "USD"))
    assert budget.device_us is None
    entry, budget = budget_of(budgets, "b") or ("", NamespaceBudget(window="1h", device_hours=0))
    assert (entry, budget.money, budget.device_us) == ("*", (10**6, "USD"), 1800 * 10**6)
    assert budget_of({"a": budgets["a"]}, "b") is None


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        pytest.param({"window": "720h"}, "cost: is missing, and so is deviceHours", id="of nothing"),
        pytest.param({"cost": "500 USD"}, "window", id="for no time"),
        pytest.param({"window": "0s", "cost": "500 USD"}, "window: must be longer than 0", id="for 0 s"),
        pytest.param({"window": "30d", "cost": "500 USD"}, "30d is 720h", id="days"),
        pytest.param({"window": "720h", "cost": "500"}, "cost: must be an amount and its currency", id="no currency"),
        pytest.param({"window": "720h", "deviceHours": -1}, "deviceHours", id="negative"),
        pytest.param({"window": "720h", "gpus": 5}, "gpus", id="unknown"),
    ],
)
def test_what_is_wrong_with_budgets_is_a_sentence(budget: dict[str, Any], words: str) -> None:
    with pytest.raises(Invalid) as raised:
        read_budgets(json.dumps({"budgets": {"a": budget}}))
    assert str(raised.value).startswith("--budgets: ")
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("tariff", "words"),
    [
        pytest.param(None, "--budgets: needs prices", id="without prices"),
        pytest.param(
            Tariff(currency="EUR", prices={}), "budgets.a.cost: is in USD, and the prices are in EUR", id="other"
        ),
    ],
)
def test_budgets_need_prices_in_their_currency(tariff: Tariff | None, words: str) -> None:
    budgets = read_budgets('{"budgets": {"a": {"window": "720h", "cost": "500 USD"}}}')
    require_prices_of_budgets(budgets, Tariff(currency="USD", prices={}))
    require_prices_of_budgets({}, None)
    with pytest.raises(Invalid) as raised:
        require_prices_of_budgets(budgets, tariff)
    assert words in str(raised.value)
