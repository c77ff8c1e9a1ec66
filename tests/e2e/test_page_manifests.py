"""The calendar's page in what the chart renders: open no wider than its values say. No cluster is asked."""

import re
from pathlib import Path

import pytest
import yaml

from support.kind.chart import Document, of_kind, options, rendered, rendered_with_notes
from support.kind.cluster import CHART, OPERATOR_NAMESPACE

pytestmark = pytest.mark.cluster
USUAL = ["metrics", "health"]


def ingress(documents: list[Document]) -> list[Document]:
    """Who may reach the operator, by its policy."""
    rules: list[Document] = of_kind(documents, "NetworkPolicy")["", "dueby-operator"]["spec"]["ingress"]
    return rules


@pytest.mark.parametrize(
    ("values", "address", "ports"),
    [
        pytest.param({}, None, USUAL, id="off by default"),
        pytest.param({"service": True}, None, USUAL, id="off, whatever else is said"),
        pytest.param({"enabled": True}, "127.0.0.1:8082", USUAL, id="for who may forward ports"),
        pytest.param({"enabled": True, "service": True}, "0.0.0.0:8082", [*USUAL, "calendar"], id="for the network"),
    ],
)
def test_the_page_is_open_no_wider_than_the_values_say(
    values: dict[str, bool], address: str | None, ports: list[str]
) -> None:
    documents = rendered(calendarPage=values)
    assert options(documents).get("--calendar-page") == address
    (deployment,) = of_kind(documents, "Deployment").values()
    (service,) = of_kind(documents, "Service").values()
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert [port["name"] for port in container["ports"]] == ports
    assert [port["name"] for port in service["spec"]["ports"]] == ports


def test_a_network_policy_lets_nobody_see_it_but_those_whom_the_administrator_names() -> None:
    (block,) = re.findall(r"```yaml\n(calendarPage: .*?)```", (CHART / "README.md").read_text(), re.S)
    shown = yaml.safe_load(block)
    (own,) = shown["networkPolicy"]["ingress"]
    with_rule = ingress(rendered(**shown))
    shown["networkPolicy"].pop("ingress")
    without = ingress(rendered(**shown))
    assert all(rule["ports"] for rule in without)
    assert {port["port"] for rule in without for port in rule["ports"]} == set(USUAL)
    assert with_rule == [*without, own]
    assert [port["port"] for port in own["ports"]] == ["calendar"]


def test_the_notes_say_how_to_see_it(tmp_path: Path) -> None:
    said = f"kubectl port-forward -n {OPERATOR_NAMESPACE} deployment/dueby-operator 8082"
    for is_on in (False, True):
        notes, documents = rendered_with_notes(tmp_path / str(is_on), calendarPage={"enabled": is_on})
        assert (said in notes) == is_on
        assert ("", "dueby-operator") in of_kind(documents, "Deployment")
