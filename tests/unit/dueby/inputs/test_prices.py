"""Prices that are read: a YAML of DueBy's own and SkyPilot's two CSVs, what their rows hide, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from dueby.inputs.prices import read_prices
from dueby_api.errors import Invalid
from dueby_planner.model.cost import Price, Tariff

SECOND = 10**6
CLOUD = """\
InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,Region,GpuInfo,SpotPrice
cpu_4x_general,,,4.0,16.0,0.2,us-east-1,,
gpu_8x_v100,V100,8.0,92.0,448.0,6.32,us-east-1,"{'Gpus': [{'Name': 'V100', 'Count': 8.0}]}",
gpu_4x_a6000,A6000,4.0,56.0,400.0,4.36,us-east-1,"{'Gpus': [{'Name': 'A6000', 'Count': 4.0}]}",1.30
gpu_1x_a6000,A6000,1.0,14.0,100.0,1.10,us-east-1,"{'Gpus': [{'Name': 'A6000', 'Count': 1.0}]}",
gpu_1x_a6000,A6000,1.0,14.0,100.0,0.90,eu-1,"{'Gpus': [{'Name': 'A6000', 'Count': 1.0}]}",
"""
GCP = """\
InstanceType,vCPUs,MemoryGiB,AcceleratorName,AcceleratorCount,GpuInfo,Region,AvailabilityZone,Price,SpotPrice
a2-highgpu-1g,12.0,85.0,,,,us-central1,us-central1-a,0.73948,0.36975
a2-highgpu-8g,96.0,680.0,,,,us-central1,us-central1-a,5.91582,2.958
,,,A100,1.0,,us-central1,us-central1-a,2.93391,1.17
,,,A100,8.0,,us-central1,us-central1-a,23.47128,9.36
,,,A100,1.0,,us-central1,us-central1-b,0.10000,0.05
,,,H200,8.0,,us-central1,us-central1-a,50.0,
,,,tpu-v6e-1,1,tpu-v6e-1,us-central1,us-central1-a,2.7,0.54421
,,,tpu-v6e-8,1,tpu-v6e-8,asia-east1,asia-east1-c,700.0,700.0
"""
KUBERNETES = """\
Region,Zone,PricePerVCPU,PricePerMemoryGB,AcceleratorName,PricePerAccelerator
,,0.0,0.0,,0.0
,,0.03,0.004,L4,0.80
east,,0.03,0.004,L4,0.95
,,0.03,0.004,T4,0
"""
A6000 = "NVIDIA-RTX-A6000"
A100 = "NVIDIA-A100-SXM4-40GB"


def price_list(*classes: dict[str, Any], **fields: Any) -> str:
    return yaml.safe_dump({"prices": {"classes": list(classes), **fields}})


def read(tmp_path: Path, *texts: str, **options: Any) -> Tariff:
    """Return the tariff of files with these texts: CSVs that begin with a header, and YAML."""
    paths = []
    for number, text in enumerate(texts):
        path = tmp_path / f"{number}.{'csv' if text.startswith(('InstanceType', 'Region')) else 'yaml'}"
        path.write_text(text)
        paths.append(str(path))
    tariff = read_prices(paths, **options)
    assert tariff is not None
    return tariff


def test_prices_of_ones_own_are_millionths_with_their_billing(tmp_path: Path) -> None:
    tariff = read(
        tmp_path,
        price_list(
            {"class": "NVIDIA-L4", "perHour": 0.7},
            {"class": "cpu-1", "perHour": "0.0283333333", "billing": {"unit": "hour"}},
            currency="EUR",
            billing={"unit": "second", "least": "1m"},
        ),
    )
    assert tariff.currency == "EUR"
    assert tariff.prices == {
        "NVIDIA-L4": Price(hourly=700_000, unit_us=SECOND, least_us=60 * SECOND),
        "cpu-1": Price(hourly=28_333, unit_us=3600 * SECOND),
    }


@pytest.mark.parametrize(
    ("spot", "hourly"), [pytest.param(False, 3_000_000, id="on demand"), pytest.param(True, 1_000_000, id="spot")]
)
def test_the_price_of_every_pool_goes_before_that_of_one_and_spot_where_it_is_asked_for(
    tmp_path: Path, spot: bool, hourly: int
) -> None:
    text = price_list(
        {"class": "a", "perHour": 3},
        {"class": "a", "perHour": 9, "nodePool": "gold"},
        {"class": "a", "perHour": 1, "capacityType": "spot"},
    )
    assert read(tmp_path, text, spot=spot).prices["a"].hourly == hourly


def test_a_price_of_another_capacity_type_is_taken_if_there_is_no_other_and_said(tmp_path: Path) -> None:
    price = read(tmp_path, price_list({"class": "a", "perHour": 1, "capacityType": "spot"})).prices["a"]
    assert (price.hourly, price.origin) == (1_000_000, "as spot, the only price of it")


def test_an_instance_s_price_is_divided_among_its_accelerators_and_the_cheapest_row_is_said(tmp_path: Path) -> None:
    tariff = read(tmp_path, CLOUD)
    assert tariff.prices[A6000].hourly == 900_000
    assert tariff.prices[A6000].origin == "A6000, gpu_1x_a6000 in eu-1, the cheapest of 3 rows"
    assert tariff.prices["Tesla-V100-SXM2-16GB"].hourly == 790_000
    assert tariff.currency == "USD"
    unknown = read(tmp_path, CLOUD.replace("A6000", "Z1"))
    assert any("no device class is known for Z1; say what they mean in prices.accelerators" in n for n in unknown.notes)


def test_a_region_and_spot_narrow_the_rows(tmp_path: Path) -> None:
    assert read(tmp_path, CLOUD, region="us-east-1").prices[A6000].hourly == 1_090_000
    spot = read(tmp_path, CLOUD, spot=True)
    assert spot.prices[A6000].hourly == 325_000
    assert "Tesla-V100-SXM2-16GB" not in spot.prices, "an empty SpotPrice is no spot"
    assert any("has no spot price that can be paid of V100" in note for note in spot.notes)


def test_of_gcp_an_accelerator_and_its_host_add_up_and_one_without_its_host_has_no_price(tmp_path: Path) -> None:
    tariff = read(tmp_path, GCP)
    assert tariff.prices[A100].hourly == 3_673_388, "(23.47128 + 5.91582) / 8"
    assert "NVIDIA-H200" not in tariff.prices
    assert any("has no price that can be paid of H200, tpu-v6e-1, tpu-v6e-8" in note for note in tariff.notes), (
        "700 is none"
    )


def test_a_kubernetes_price_is_one_device_s_a_zero_none_and_the_region_s_own_row_goes_first(tmp_path: Path) -> None:
    tariff = read(tmp_path, KUBERNETES)
    assert tariff.prices["NVIDIA-L4"].hourly == 800_000
    assert "Tesla-T4" not in tariff.prices
    assert read(tmp_path, KUBERNETES, region="east").prices["NVIDIA-L4"].hourly == 950_000


def test_names_are_matched_by_the_file_s_own_table_first(tmp_path: Path) -> None:
    names = yaml.safe_dump({"prices": {"accelerators": {"a6000": ["my-card"]}}})
    assert read(tmp_path, names, CLOUD).prices["my-card"].hourly == 900_000


def test_a_later_file_replaces_a_class_s_price(tmp_path: Path) -> None:
    tariff = read(tmp_path, CLOUD, price_list({"class": A6000, "perHour": 0.5}))
    assert tariff.prices[A6000] == Price(hourly=500_000)
    assert tariff.prices["Tesla-V100-SXM2-16GB"].hourly == 790_000


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param("prices: {currency: USD}", "classes: is empty, and so is accelerators", id="nothing"),
        pytest.param(price_list({"class": "a", "perHour": -1}), "perHour: must be a number from 0", id="below 0"),
        pytest.param(price_list({"class": "a", "perHour": "1e99"}), "perHour: must be a number from 0", id="huge"),
        pytest.param(price_list({"class": "a", "perHour": float("nan")}), "perHour: must be a number", id="no number"),
        pytest.param(price_list({"class": "a", "perHour": True}), "perHour: must be", id="a truth"),
        pytest.param(
            price_list({"class": "a", "perHour": 1}, {"class": "a", "perHour": 2}),
            "names a, onDemand, twice",
            id="twice",
        ),
        pytest.param(
            price_list({"class": "a", "perHour": 1, "nodePool": "x"}, {"class": "a", "perHour": 2, "nodePool": "y"}),
            "several prices of a (x 1, y 2)",
            id="of several node pools",
        ),
        pytest.param(price_list({"class": "a", "perHour": 1}, currency="$"), "prices.currency", id="no word"),
        pytest.param("a: 1\n---\nb: 2", "expected one list of prices, found 2 documents", id="two documents"),
        pytest.param("InstanceType,Price\n", "has no column", id="another table"),
        pytest.param(CLOUD.replace("6.32", "much"), "the row of gpu_8x_v100: Price must be a number", id="no price"),
        pytest.param(CLOUD.replace("8.0,92", "x,92"), "AcceleratorCount must be a number", id="no count"),
    ],
)
def test_what_is_no_price_is_refused_with_where_and_what(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(Invalid) as refused:
        read(tmp_path, text)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("paths", "options", "sentence"),
    [
        pytest.param([], {"region": "x"}, "--region: is about prices", id="a region without prices"),
        pytest.param([], {"spot": True}, "--spot: is about prices", id="spot without prices"),
        pytest.param(["none.csv"], {}, "none.csv: can't be read", id="no file"),
    ],
)
def test_options_without_prices_are_refused(paths: list[str], options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_prices(paths, **options)
    assert sentence in str(refused.value)


def test_a_region_without_a_row_and_two_currencies_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"--region: .* has no row of mars; it has eu-1, us-east-1"):
        read(tmp_path, CLOUD, region="mars")
    with pytest.raises(Invalid, match="has prices in EUR, and a file before it in USD"):
        read(tmp_path, CLOUD, price_list({"class": "a", "perHour": 1}, currency="EUR"))
