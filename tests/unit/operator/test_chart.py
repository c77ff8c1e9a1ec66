"""The chart's papers agree: values, their schema, the README's table; the dashboard asks for metrics that there are."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from dueby_api.budgets import BudgetList
from dueby_api.capacity import AnnouncedDevices, NodePool, Timed
from dueby_api.engines import Precision, engines_for
from dueby_api.grid import Share
from dueby_api.prices import MONEY_PATTERN, UNIT_US, PriceFile
from dueby_api.schema import END, Spec, json_schemas
from dueby_api.store_limits import StoreList
from dueby_operator.options import FORMATS, LEVELS
from dueby_operator.settings import ProfilerSettings, read_budgets, read_profiler, read_promises, read_stores
from dueby_operator.web.metrics import Metrics
from dueby_planner.deadline_classes import Promises
from dueby_planner.schedule.free_devices import CLASSES
from dueby_worker.telemetry.metrics import render
from dueby_worker.telemetry.progress import ProgressTracker
from support.kind.chart import WITHOUT_GPUS
from support.kind.cluster import CHART
from support.source_tree import REPOSITORY

VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
TEMPLATES = {
    path.name: path.read_text() for path in (CHART / "templates").rglob("*") if path.suffix in (".yaml", ".tpl", ".txt")
}
ABSENT = object()


def leaves(schema: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Every value that may be set, with what is said of it."""
    if "$ref" in schema:
        found: Any = SCHEMA
        for key in schema["$ref"].removeprefix("#/").split("/"):
            found = found[key]
        schema = {**found, **schema}
    if "properties" not in schema:
        yield path, schema
        return
    assert schema["additionalProperties"] is False, f"{path}: a misspelt name would be taken without a word"
    for name, below in schema["properties"].items():
        yield from leaves(below, (*path, name))


LEAVES = {path: schema for path, schema in leaves(SCHEMA) if path != ("global",)}


def default_of(path: tuple[str, ...], values: dict[str, Any] = VALUES) -> Any:
    found: Any = values
    for key in path:
        found = found.get(key, ABSENT) if found is not ABSENT else ABSENT
    return found


@pytest.mark.parametrize("path", LEAVES, ids=".".join)
def test_every_value_has_a_type_a_description_and_a_row_with_its_default(path: tuple[str, ...]) -> None:
    assert LEAVES[path].keys() & {"type", "enum"}
    assert LEAVES[path]["description"].endswith(".")
    rows = re.findall(r"^\| `(.+)` \| .+ \| (?:`(.+)` )?\|$", (CHART / "README.md").read_text(), re.M)
    told = dict(rows)[".".join(path)]
    assert (yaml.safe_load(told) if told else ABSENT) == default_of(path)


def test_the_values_and_what_the_templates_read_are_those_of_the_schema() -> None:
    jsonschema.validate(VALUES, SCHEMA)
    for template, text in TEMPLATES.items():
        for used in re.findall(r"\.Values\.([\w.]+)", text):
            assert any(".".join(path).startswith(used) for path in LEAVES), f"{template} reads {used}"


def test_the_values_without_gpus_are_valid_and_each_differs_from_the_default() -> None:
    jsonschema.validate(WITHOUT_GPUS, SCHEMA)
    changed = {path: value for path in LEAVES if (value := default_of(path, WITHOUT_GPUS)) is not ABSENT}
    assert changed
    assert all(value != default_of(path) for path, value in changed.items())


def test_the_profilers_values_are_what_the_operator_takes_and_its_defaults() -> None:
    own = {"namespace": "n", "name": "p"}
    assert read_profiler(json.dumps({**own, **VALUES["profiler"]})) == ProfilerSettings(namespace="n", name="p")
    values, fields = SCHEMA["properties"]["profiler"]["properties"], json_schemas(ProfilerSettings)
    assert values.keys() == fields["ProfilerSettings"]["properties"].keys() - own.keys()
    assert values["window"]["properties"].keys() == fields["ProfilingWindow"]["properties"].keys()
    assert patterns_in(values["window"]) == patterns_in(fields["ProfilingWindow"])
    assert values["timeLimit"]["pattern"] == fields["ProfilerSettings"]["properties"]["timeLimit"]["pattern"]
    model = values["models"]["items"]["properties"]
    assert tuple(model["precision"]["enum"]) == get_args(Precision)
    assert set(model["engine"]["enum"]) == {"auto", *(entry.name for entry in engines_for("efficientnet_b0"))}


@pytest.mark.parametrize(("value", "kind"), [("maintenance", Timed), ("capacity", AnnouncedDevices)])
def test_the_times_of_nodes_that_the_values_take_are_what_the_operator_takes(value: str, kind: type[Spec]) -> None:
    items, fields = SCHEMA["properties"][value]["items"], json_schemas(kind)
    own = fields[kind.__name__]
    assert items["properties"].keys() == own["properties"].keys()
    assert set(items.get("required", ())) == set(own.get("required", ()))
    if kind is AnnouncedDevices:
        assert patterns_in(items)["class"] == patterns_in(own)["class"]
        count, bounds = items["properties"]["count"], ("minimum", "maximum")
        assert [count[bound] for bound in bounds] == [own["properties"]["count"][bound] for bound in bounds]
    weekly, taken = SCHEMA["definitions"]["weekly"], fields["WeeklyWindow"]
    assert weekly["properties"].keys() == taken["properties"].keys()
    assert set(weekly["required"]) == set(taken["required"])
    assert patterns_in(weekly) == patterns_in(taken)
    hours, bounds = weekly["properties"]["hours"], ("minimum", "maximum")
    assert [hours[bound] for bound in bounds] == [taken["properties"]["hours"][bound] for bound in bounds]


def test_the_pools_that_the_values_take_are_what_the_operator_takes() -> None:
    items, fields = SCHEMA["properties"]["nodePools"]["items"], json_schemas(NodePool)
    for values, own in ((items, "NodePool"), (items["properties"]["taints"]["items"], "PoolTaint")):
        assert values["properties"].keys() == fields[own]["properties"].keys()
        assert set(values["required"]) == set(fields[own]["required"])
        assert patterns_in(values) == patterns_in(fields[own])
        for name, taken in fields[own]["properties"].items():
            for bound in ("minimum", "maximum", "minLength", "maxLength", "minProperties", "maxProperties"):
                if bound in taken:
                    assert values["properties"][name].get(bound) == taken[bound], (name, bound)
            assert set(values["properties"][name].get("enum", ())) == set(taken.get("enum", ()))


def test_the_logs_levels_and_formats_are_the_operators() -> None:
    values = SCHEMA["properties"]["log"]["properties"]
    assert (tuple(values["level"]["enum"]), tuple(values["format"]["enum"])) == (LEVELS, FORMATS)


def test_the_promises_that_the_values_take_are_what_the_operator_takes() -> None:
    values, fields = SCHEMA["properties"]["promises"]["properties"], json_schemas(Promises)["Promises"]["properties"]
    assert values.keys() == fields.keys()
    assert values["classes"]["additionalProperties"]["items"]["enum"] == list(CLASSES)
    assert read_promises(json.dumps(VALUES["promises"])).horizon == "720h"


def test_the_stores_that_the_values_take_are_what_the_operator_takes() -> None:
    values, fields = SCHEMA["properties"]["stores"]["items"], json_schemas(StoreList)["StoreLimits"]
    assert values["properties"].keys() == fields["properties"].keys()
    assert patterns_in(values) == patterns_in(fields)
    assert read_stores(json.dumps({"stores": VALUES["stores"]})) == ()
    entry = {"prefix": "s3://photos/", "requestsPerSecond": 20_000, "bytesPerSecond": 5_000_000_000}
    (store,) = read_stores(json.dumps({"stores": [entry]}))
    assert (store.prefix, store.requests_per_second, store.bytes_per_second) == tuple(entry.values())


def test_the_budgets_that_the_values_take_are_what_the_operator_takes() -> None:
    values = SCHEMA["properties"]["budgets"]["additionalProperties"]
    fields = json_schemas(BudgetList)["NamespaceBudget"]
    assert values["properties"].keys() == fields["properties"].keys()
    assert values["required"] == fields["required"]
    assert patterns_in(values) == {**patterns_in(fields), "cost": MONEY_PATTERN}
    assert read_budgets(json.dumps({"budgets": VALUES["budgets"]})) == {}
    budgets = {"team-a": {"window": "720h", "cost": "500 USD"}, "*": {"window": "168h", "deviceHours": 100}}
    jsonschema.validate({**VALUES, "budgets": budgets}, SCHEMA)
    assert read_budgets(json.dumps({"budgets": budgets})).keys() == budgets.keys()
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**VALUES, "budgets": {"team-a": {"window": "720h"}}}, SCHEMA)


def test_the_prices_that_the_values_take_are_what_the_operator_takes() -> None:
    values, fields = SCHEMA["properties"]["prices"], json_schemas(PriceFile)
    price, billing = values["properties"]["classes"]["items"], SCHEMA["definitions"]["billing"]
    for taken, own in ((values, "PriceList"), (price, "ClassPrice"), (billing, "Billing")):
        assert taken["properties"].keys() == fields[own]["properties"].keys()
        assert set(taken.get("required", ())) == set(fields[own].get("required", ()))
        assert patterns_in(taken).items() >= patterns_in(fields[own]).items()
    assert billing["properties"]["unit"]["enum"] == list(UNIT_US)
    assert values["properties"]["classes"]["maxItems"] == fields["PriceList"]["properties"]["classes"]["maxItems"]


def patterns_in(schema: dict[str, Any]) -> dict[str, str]:
    """The patterns of its fields, as other readers than Python's write the end of a text."""
    fields = schema["properties"].items()
    return {name: field["pattern"].replace(END, "$") for name, field in fields if "pattern" in field}


def metric_names() -> set[str]:
    """Of every sample that an operator or a worker shows."""
    worker = render(ProgressTracker(worker="w", share=Share(first=0, end=1))).decode()
    families = [
        *text_string_to_metric_families(Metrics().page()),
        *text_string_to_metric_families(worker),
    ]
    named = {family.name for family in families}
    return named | {f"{name}{suffix}" for name in named for suffix in ("_total", "_bucket", "_sum", "_count")}


@pytest.mark.parametrize(
    ("file", "least"),
    [
        (CHART / "files" / "dashboards" / "dueby.json", 20),
        (CHART / "files" / "alerts.yaml", 6),
        (REPOSITORY / "docs" / "metrics.md", 20),
    ],
)
def test_every_metric_that_is_named_is_there(file: Path, least: int) -> None:
    named = set(re.findall(r"\bdueby_[a-z_]+", file.read_text()))
    assert len(named) > least
    assert named <= metric_names()


def test_every_metric_is_documented() -> None:
    text = (REPOSITORY / "docs" / "metrics.md").read_text()
    worker = render(ProgressTracker(worker="w", share=Share(first=0, end=1))).decode()
    page = Metrics().page() + worker
    shown = {line.split()[2] for line in page.splitlines() if line.startswith("# TYPE dueby_")}
    assert not {name for name in shown if f"`{name}`" not in text}


def test_every_panel_has_a_title_a_query_and_a_place_of_its_own() -> None:
    dashboard = json.loads((CHART / "files" / "dashboards" / "dueby.json").read_text())
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        assert panel["title"]
        assert all(target["expr"] for target in panel["targets"])
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
