"""The prices that `dueby plan --prices` plans with: YAML of DueBy's own, and SkyPilot's CSVs (catalogue.py).

Several files are read in their order, and a later one replaces a class's price. A YAML file may also say only what the
names in a catalogue mean.
"""

import argparse
from collections.abc import Sequence

from dueby.inputs.catalogue import CLASSES, read_catalogue
from dueby.inputs.files import SUFFIXES, documents_in, read_text
from dueby_api.errors import Invalid
from dueby_api.prices import PriceFile, PriceList
from dueby_api.schema import validate
from dueby_api.words import counted
from dueby_planner.model.cost import Price, Tariff, tariff_of

# Characters of a file. That of the largest cloud has some ten million.
MAX_CATALOGUE = 2**26
# Of a YAML file. A thousand prices have a tenth.
MAX_PRICES = 2**20
# Of a catalogue, whose prices are in one currency.
_CURRENCY = "USD"
_SHOWN = 12


def add_prices(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what devices cost."""
    parser.add_argument(
        "--prices",
        action="append",
        default=[],
        metavar="FILE",
        help="what devices cost: a YAML file with prices, or SkyPilot's vms.csv or pricing.csv; may be repeated, and a "
        "later file replaces a class's price",
    )
    parser.add_argument(
        "--region", metavar="REGION", help="the region of prices in a CSV (default: the cheapest of all regions)"
    )
    parser.add_argument("--spot", action="store_true", help="take the prices of nodes that may be taken away")


def read_prices(
    paths: Sequence[str], *, region: str | None = None, spot: bool = False, is_one_job: bool = True
) -> Tariff | None:
    """Return what devices cost by these files; None without any.

    `region` narrows catalogues, and with `spot` a price of nodes that may be taken away goes before that of others.
    Raise Invalid for what can't be read, for prices in two currencies, and for any if they are for a calendar.
    """
    if paths and not is_one_job:
        raise Invalid("--prices", "what a calendar costs isn't known yet; give one job, and a pool without capacity")
    if not paths:
        if region is not None or spot:
            raise Invalid("--region" if region is not None else "--spot", "is about prices; give them with --prices")
        return None
    lists = {path: _read_list(path) for path in paths if path.endswith(SUFFIXES)}
    names = {name.lower(): classes for name, classes in CLASSES.items()}
    for price_list in lists.values():
        names |= {name.lower(): classes for name, classes in price_list.accelerators.items()}
    tariff: Tariff | None = None
    for path in paths:
        if path in lists:
            priced = tariff_of(lists[path], origin=f"{path}: prices", spot=spot)
        else:
            priced = _tariff_of_catalogue(path, names, region=region, spot=spot)
        tariff = priced if tariff is None else _with_later(tariff, priced, path)
    return tariff


def _read_list(path: str) -> PriceList:
    documents = list(documents_in(path, most=MAX_PRICES))
    if len(documents) != 1:
        raise Invalid(path, f"expected one list of prices, found {counted(len(documents), 'document')}")
    return validate(PriceFile, documents[0][1], origin=path).prices


def _with_later(tariff: Tariff, later: Tariff, path: str) -> Tariff:
    if tariff.prices and later.prices and tariff.currency != later.currency:
        raise Invalid(path, f"has prices in {later.currency}, and a file before it in {tariff.currency}; give one")
    return Tariff(
        currency=later.currency if later.prices else tariff.currency,
        prices={**tariff.prices, **later.prices},
        notes=(*tariff.notes, *later.notes),
    )


def _tariff_of_catalogue(path: str, names: dict[str, tuple[str, ...]], *, region: str | None, spot: bool) -> Tariff:
    catalogue = read_catalogue(read_text(path, most=MAX_CATALOGUE), path=path, region=region, spot=spot)
    prices: dict[str, Price] = {}
    unknown = []
    for name, offer in sorted(catalogue.offers.items()):
        classes = names.get(name.lower())
        if classes is None:
            unknown.append(name)
            continue
        rows = catalogue.rows[name]
        among = f", the cheapest of {counted(rows, 'row')}" if rows > 1 else ""
        origin = f"{name}, {offer.where}{among}"
        for device_class in classes:
            # Two names may mean one class; the cheaper one is taken, as of several rows.
            if device_class not in prices or offer.hourly < prices[device_class].hourly:
                prices[device_class] = Price(hourly=offer.hourly, origin=origin)
    notes = []
    if unknown:
        notes.append(
            f"{path}: no device class is known for {_listed(unknown)}; say what they mean in prices.accelerators of a "
            "YAML file"
        )
    if catalogue.without_price:
        kind = "spot price" if spot else "price"
        notes.append(f"{path} has no {kind} that can be paid of {_listed(catalogue.without_price)}")
    return Tariff(currency=_CURRENCY, prices=prices, notes=tuple(notes))


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more:,} others" if more > 0 else "")
