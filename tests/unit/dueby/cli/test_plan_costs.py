"""`dueby plan --prices` and `--curve`: what is printed, as a table, a document and a picture, and what is refused."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from support.plan_command import Plan
from support.planner import A100

PRICES = {"currency": "EUR", "classes": [{"class": A100, "perHour": 3.6}]}


@pytest.fixture
def prices(tmp_path: Path) -> str:
    path = tmp_path / "prices.yaml"
    path.write_text(yaml.safe_dump({"prices": PRICES}))
    return str(path)


def test_the_document_has_the_cost_its_causes_and_what_is_beside_it(plan: Plan, prices: str) -> None:
    code, out, err = plan("-o", "json", "--prices", prices)
    assert code == 0, err
    document = json.loads(out)
    cost = document["cost"]
    # Five devices are held for a thousandth of 3.60 a second.
    held_s = -(-document["expectedSeconds"] // 1)
    assert cost["total"] == pytest.approx(5 * held_s / 1000)
    causes = ("startUp", "work", "waiting", "idle", "rounding")
    assert sum(cost[cause] for cause in causes) == pytest.approx(cost["total"])
    assert cost["currency"] == "EUR"
    assert cost["cheapestClass"]["deviceClass"] == A100
    assert cost["allDevices"]["gpus"] == 8
    assert cost["lowerBound"] is None


def test_without_prices_nothing_is_said_of_a_cost(plan: Plan) -> None:
    assert "cost" not in json.loads(plan("-o", "json")[1])
    assert "Cost" not in plan()[1]


@pytest.mark.parametrize("output", ["table", "html"])
def test_people_read_the_cost_what_is_beside_it_and_the_prices(plan: Plan, prices: str, output: str) -> None:
    _, out, _ = plan("-o", output, "--prices", prices, objective="MinCost")
    words = " ".join(out.split())
    assert "EUR expected (start-up" in words
    assert f"{A100} alone, the cheapest class" in words
    assert f"Prices: {A100} 3.60 EUR an hour." in words
    assert "No GPUs of this pool that meet the deadline cost less." in words


def test_a_plan_over_max_cost_is_refused_with_the_least_cost_and_what_is_affordable(plan: Plan, prices: str) -> None:
    code, out, err = plan("-o", "json", "--prices", prices, maxCost="0.047 EUR")
    assert code == 3, err
    document = json.loads(out)
    assert (document["feasible"], document["groups"]) == (False, [])
    alternatives = document["alternatives"]
    cost, bound = (float(alternatives[name].removesuffix(" EUR")) for name in ("maxCost", "costBound"))
    assert 0.047 < cost == pytest.approx(bound, abs=0.001)
    later = alternatives["earliestDeadlineSeconds"]
    assert plan("--prices", prices, maxCost="0.047 EUR", deadline=f"{later:.0f}s")[0] == 0
    assert plan("--prices", prices, maxCost=alternatives["maxCost"])[0] == 0
    words = " ".join(plan("--prices", prices, maxCost="0.047 EUR")[1].split())
    assert "Infeasible: the cheapest devices that do 200,000 images in 10s at confidence 0.95 cost" in words
    assert "which is proved to be the least; spec.maxCost is 0.0470 EUR (BranchAndBound" in words
    assert f"a maxCost of {alternatives['maxCost']} more time deadline: {later:.0f}s" in words


def test_where_no_deadline_is_affordable_that_is_said(plan: Plan, prices: str) -> None:
    code, out, _ = plan("--prices", prices, maxCost="0.001 EUR")
    assert code == 3
    assert "more time no later deadline is affordable" in " ".join(out.split())


def test_the_fewest_devices_that_cost_too_much_are_replaced_by_the_cheapest(plan: Plan, prices: str) -> None:
    fewest, cheapest = (
        json.loads(plan("-o", "json", "--prices", prices, objective=name)[1])["cost"]["total"]
        for name in ("MinGPUs", "MinCost")
    )
    limit = f"{cheapest:.6f} EUR"
    code, out, err = plan("--prices", prices, maxCost=limit)
    assert code == 0
    said = "these are the cheapest" in " ".join(err.split())
    assert said == (cheapest < fewest)
    assert "EUR expected" in out


@pytest.mark.parametrize(
    ("options", "max_cost", "sentence"),
    [
        pytest.param((), "1 EUR", "spec.maxCost: needs prices; give them with --prices FILE", id="no prices"),
        pytest.param(("--prices",), "1 USD", "spec.maxCost: is in USD, and the prices are in EUR", id="other currency"),
        pytest.param(("--prices",), "a lot", "spec.maxCost: must be an amount and its currency", id="no amount"),
    ],
)
def test_a_limit_that_cannot_be_judged_is_refused(
    plan: Plan, prices: str, options: tuple[str, ...], max_cost: str, sentence: str
) -> None:
    code, out, err = plan(*options, *([prices] if options else []), maxCost=max_cost)
    assert (code, out) == (2, "")
    assert sentence in " ".join(err.split())


def test_a_class_without_a_price_is_a_warning_and_no_cost(plan: Plan, tmp_path: Path) -> None:
    path = tmp_path / "others.yaml"
    path.write_text(yaml.safe_dump({"prices": {"classes": [{"class": "other", "perHour": 1}]}}))
    code, out, err = plan("--prices", str(path))
    assert code == 0
    assert "Cost" not in out
    assert f"no price of {A100} is known" in " ".join(err.split())
    code, _, err = plan("--prices", str(path), maxCost="1 USD")
    assert code == 2
    assert f"needs a price of every device class that the job may use, and {A100} has none" in " ".join(err.split())


def test_the_curve_is_a_table_a_document_and_a_picture(plan: Plan, prices: str) -> None:
    code, out, _ = plan("--curve", "--prices", prices)
    assert code == 0
    assert "(asked for)" in out
    assert "(knee)" in out
    document = json.loads(plan("--curve", "-o", "json", "--prices", prices)[1])
    assert document["over"] == "time"
    assert len(document["points"]) >= 200
    assert document["points"][0]["fewest"]["gpus"] == 8
    assert document["currency"] == "EUR"
    picture = ElementTree.fromstring(plan("--curve", "images", "-o", "svg", "--prices", prices)[1])
    assert picture.tag == "{http://www.w3.org/2000/svg}svg"
    assert plan("--curve", "-o", "html")[1].startswith("<!doctype html>")


def test_a_job_that_is_never_possible_has_no_curve_and_code_3(plan: Plan) -> None:
    code, out, _ = plan("--curve", gpus={"maxIterations": 0})
    assert code == 3
    assert "No number of GPUs of this pool is enough, whatever is asked for." in " ".join(out.split())


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        pytest.param(["-o", "svg"], "-o: svg is the picture of a curve; add --curve", id="a picture of a plan"),
        pytest.param(["--region", "x"], "--region: is about prices", id="a region without prices"),
        pytest.param(["--prices", "none.yaml"], "none.yaml: can't be read", id="no such file"),
    ],
)
def test_what_makes_no_sense_is_refused(plan: Plan, options: list[str], sentence: str) -> None:
    code, out, err = plan(*options)
    assert (code, out) == (2, "")
    assert sentence in err


def test_a_calendar_has_no_cost_and_no_curve_yet(plan: Plan, prices: str, tmp_path: Path) -> None:
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text(
        yaml.safe_dump(
            {
                "classes": [{"name": "other", "count": 1}],
                "capacity": [
                    {"class": A100, "count": 1, "from": "2030-01-01T00:00:00Z", "to": "2030-01-02T00:00:00Z"},
                ],
            }
        )
    )
    assert "--prices: what a calendar costs isn't known yet" in plan("--pool", str(fleet), "--prices", prices)[2]
    assert "--curve: takes one job at a time" in plan("--pool", str(fleet), "--curve")[2]
