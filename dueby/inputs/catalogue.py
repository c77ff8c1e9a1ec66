"""Prices from SkyPilot's catalogue, in its two CSVs as they are: `vms.csv` of a cloud, `pricing.csv` of Kubernetes.

What their rows hide:

- A price is of a whole instance with all its accelerators. On GCP the accelerators are a row without an instance, and
  their host another one without accelerators: both are paid for.
- 700 means that nobody can have it, and 0 or nothing that no price is known. `pricing.csv` comes with a row of zeros.
- One instance has a row in each zone, and each accelerator is sold in instances with 1, 2, 4, 8 of them.
- Accelerators have names of the catalogue's own: A100 is not what a device plugin calls it.

So of each accelerator the cheapest row for one device is taken, and said.
"""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO

from dueby_api.errors import Invalid
from dueby_api.prices import MAX_HOURLY, MICRO_UNITS, parse_amount

VMS = ("InstanceType", "AcceleratorName", "AcceleratorCount", "Price", "Region")
KUBERNETES = ("Region", "AcceleratorName", "PricePerAccelerator")
# The device plugin's names of what the catalogue has a shorter name for.
CLASSES: Mapping[str, tuple[str, ...]] = {
    "A10": ("NVIDIA-A10",),
    "A100": ("NVIDIA-A100-SXM4-40GB", "NVIDIA-A100-PCIE-40GB"),
    "A100-80GB": ("NVIDIA-A100-SXM4-80GB", "NVIDIA-A100-80GB-PCIe"),
    "A100-80GB-SXM": ("NVIDIA-A100-SXM4-80GB",),
    "A10G": ("NVIDIA-A10G",),
    "A30": ("NVIDIA-A30",),
    "A40": ("NVIDIA-A40",),
    "A4000": ("NVIDIA-RTX-A4000",),
    "A6000": ("NVIDIA-RTX-A6000",),
    "B200": ("NVIDIA-B200",),
    "GH200": ("NVIDIA-GH200-480GB",),
    "H100": ("NVIDIA-H100-80GB-HBM3", "NVIDIA-H100-PCIe"),
    "H100-MEGA": ("NVIDIA-H100-80GB-HBM3",),
    "H100-NVL": ("NVIDIA-H100-NVL",),
    "H100-SXM": ("NVIDIA-H100-80GB-HBM3",),
    "H200": ("NVIDIA-H200",),
    "H200-SXM": ("NVIDIA-H200",),
    "K80": ("Tesla-K80",),
    "L4": ("NVIDIA-L4",),
    "L40": ("NVIDIA-L40",),
    "L40S": ("NVIDIA-L40S",),
    "M60": ("Tesla-M60",),
    "P100": ("Tesla-P100-PCIE-16GB",),
    "P4": ("Tesla-P4",),
    "RTX3090": ("NVIDIA-GeForce-RTX-3090",),
    "RTX4090": ("NVIDIA-GeForce-RTX-4090",),
    "RTX5090": ("NVIDIA-GeForce-RTX-5090",),
    "RTX6000": ("Quadro-RTX-6000",),
    "RTX6000-Ada": ("NVIDIA-RTX-6000-Ada-Generation",),
    "RTX6000Ada": ("NVIDIA-RTX-6000-Ada-Generation",),
    "RTXA4000": ("NVIDIA-RTX-A4000",),
    "RTXA4500": ("NVIDIA-RTX-A4500",),
    "RTXA5000": ("NVIDIA-RTX-A5000",),
    "RTXA6000": ("NVIDIA-RTX-A6000",),
    "T4": ("Tesla-T4",),
    "V100": ("Tesla-V100-SXM2-16GB", "Tesla-V100-PCIE-16GB"),
    "V100-32GB": ("Tesla-V100-SXM2-32GB", "Tesla-V100-PCIE-32GB"),
}
# What stands in place of a price where there is none to be had.
_NOT_SOLD = 700 * MICRO_UNITS
# The hosts of GCP's accelerators. What is attached to an N1 needs no certain one: it has 8 vCPUs for each here.
_N1 = {1: "n1-standard-8", 2: "n1-standard-16", 4: "n1-standard-32", 8: "n1-standard-64"}
_HOSTS: Mapping[str, Mapping[int, str]] = {
    "A100": {1: "a2-highgpu-1g", 2: "a2-highgpu-2g", 4: "a2-highgpu-4g", 8: "a2-highgpu-8g", 16: "a2-megagpu-16g"},
    "A100-80GB": {1: "a2-ultragpu-1g", 2: "a2-ultragpu-2g", 4: "a2-ultragpu-4g", 8: "a2-ultragpu-8g"},
    "B200": {8: "a4-highgpu-8g"},
    "H100": {1: "a3-highgpu-1g", 2: "a3-highgpu-2g", 4: "a3-highgpu-4g", 8: "a3-highgpu-8g"},
    "H100-MEGA": {8: "a3-megagpu-8g"},
    "H200": {8: "a3-ultragpu-8g"},
    "K80": _N1,
    "L4": {1: "g2-standard-4", 2: "g2-standard-24", 4: "g2-standard-48", 8: "g2-standard-96"},
    "P100": _N1,
    "P4": _N1,
    "T4": _N1,
    "V100": _N1,
}
Row = Mapping[str, str | None]


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What one device of an accelerator's name costs by one row."""

    name: str
    hourly: int
    """Millionths of the currency's unit."""
    where: str
    """The instance, with its host, and the region."""


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """The cheapest offer of each accelerator in one file."""

    offers: Mapping[str, Listing]
    rows: Mapping[str, int]
    """Of each accelerator, how many rows had a price."""
    without_price: tuple[str, ...]
    """Accelerators of which no row has a price that can be paid."""


def read_catalogue(text: str, *, path: str, region: str | None, spot: bool) -> Catalogue:
    """Return the cheapest offers in the text of the CSV, in one region or in all of them.

    Raise Invalid if it is neither of the two tables, or has no row of the region.
    """
    rows = _rows_of(text, path)
    if region is not None and not any(_is_in(row, region) for row in rows):
        regions = sorted({row["Region"] for row in rows if row["Region"]})
        known = f"; it has {', '.join(regions[:20])}{' and others' if regions[20:] else ''}" if regions else ""
        raise Invalid("--region", f"{path} has no row of {region}{known}")
    within = [row for row in rows if region is None or _is_in(row, region)]
    is_of_kubernetes = KUBERNETES[-1] in rows[0] if rows else False
    try:
        priced_rows = list(_kubernetes(within, region) if is_of_kubernetes else _instances(within, spot=spot))
    except ValueError as error:
        raise Invalid(path, str(error)) from None
    offers: dict[str, Listing] = {}
    priced: dict[str, int] = {}
    for offer in priced_rows:
        priced[offer.name] = priced.get(offer.name, 0) + 1
        if offer.name not in offers or offer.hourly < offers[offer.name].hourly:
            offers[offer.name] = offer
    names = {row["AcceleratorName"] for row in within if row["AcceleratorName"]}
    return Catalogue(offers=offers, rows=priced, without_price=tuple(sorted(names - offers.keys())))


def _rows_of(text: str, path: str) -> list[Row]:
    table = csv.DictReader(StringIO(text))
    try:
        columns = table.fieldnames or ()
        missing = {kind: [name for name in kind if name not in columns] for kind in (VMS, KUBERNETES)}
        rows: list[Row] = [] if all(missing.values()) else list(table)
    except csv.Error as error:
        raise Invalid(path, f"is no table in CSV: {error}") from None
    if all(missing.values()):
        raise Invalid(
            path,
            f"has no column {min(missing.values(), key=len)[0]}; a table of prices has {', '.join(VMS)} (vms.csv) or "
            f"{', '.join(KUBERNETES)} (pricing.csv)",
        )
    return rows


def _is_in(row: Row, region: str) -> bool:
    """Return whether the row is of the region; one without any is of all, as in pricing.csv."""
    return row["Region"] in ("", None, region)


def _kubernetes(rows: Sequence[Row], region: str | None) -> Iterator[Listing]:
    """Yield what a device costs with its share of the node; rows of the very region go before those of all."""
    exact = {row["AcceleratorName"] for row in rows if row["Region"]} if region else set[str | None]()
    for row in rows:
        name, hourly = row["AcceleratorName"], _price(row, "PricePerAccelerator")
        if name and hourly and (row["Region"] or name not in exact):
            yield Listing(name=name, hourly=hourly, where=row["Region"] or "any region")


def _instances(rows: Sequence[Row], *, spot: bool) -> Iterator[Listing]:
    column = "SpotPrice" if spot else "Price"
    hosts: dict[tuple[str | None, str | None], int] = {}
    for row in rows:
        if row["InstanceType"] and not row["AcceleratorName"] and (hourly := _price(row, column)):
            place = row["InstanceType"], _place(row)
            hosts[place] = min(hourly, hosts.get(place, hourly))
    for row in rows:
        name, count, hourly = row["AcceleratorName"], _count(row), _price(row, column)
        if not (name and count and hourly):
            continue
        instance = row["InstanceType"]
        if not instance:
            instance = _HOSTS.get(name, {}).get(count, "")
            host_hourly = hosts.get((instance, _place(row)))
            # Without its host an accelerator has no price: it would be a part of one.
            if host_hourly is None:
                continue
            hourly += host_hourly
        each = (2 * hourly + count) // (2 * count)
        yield Listing(name=name, hourly=each, where=f"{instance} in {row['Region']}")


def _place(row: Row) -> str | None:
    return row.get("AvailabilityZone") or row["Region"]


def _price(row: Row, column: str) -> int | None:
    """Return the price in millionths; None if there is none. Raise ValueError if it can't be read."""
    text = (row.get(column) or "").strip()
    if not text or text.lower() == "nan":
        return None
    try:
        hourly = parse_amount(text, most=MAX_HOURLY)
    except ValueError as error:
        raise ValueError(f"the row of {_named(row)}: {column} {error}") from None
    return None if hourly in (0, _NOT_SOLD) else hourly


def _count(row: Row) -> int | None:
    """Return how many accelerators the row is of; None if it has none. Raise ValueError if it can't be read."""
    text = (row.get("AcceleratorCount") or "").strip()
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,4})?", text):
        raise ValueError(f"the row of {_named(row)}: AcceleratorCount must be a number, but is {text[:40]!r}")
    # A part of a device is none that a plan could have.
    whole = float(text)
    return int(whole) if whole >= 1 and whole.is_integer() else None


def _named(row: Row) -> str:
    return row.get("InstanceType") or row["AcceleratorName"] or "no accelerator"
