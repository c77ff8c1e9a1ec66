"""Small problems with prices: of least cost, and a strategy that draws some."""

from dataclasses import replace

from hypothesis import strategies as st

from dueby_planner.model.capacity import PoolGroup
from dueby_planner.model.cost import HOUR_US, Price, Tariff
from dueby_planner.model.problem import Problem
from support.planner import choice, group, problem

COIN = HOUR_US
"""A price of a millionth in each microsecond."""


def tariff(**prices: Price | int) -> Tariff:
    """Return prices by class; a number is so many coins, paid to the microsecond."""
    by_class = {
        name: price if isinstance(price, Price) else Price(hourly=price * COIN, unit_us=1)
        for name, price in prices.items()
    }
    return Tariff(currency="USD", prices=by_class)


def asked(*groups: PoolGroup, prices: Tariff, **changes: object) -> Problem:
    """Return a problem of least cost."""
    return problem(*groups, tariff=prices, objective="MinCost", **changes)  # type: ignore[arg-type]


CHOICES = st.lists(
    st.builds(choice, batch=st.integers(1, 12), latency=st.integers(2, 12), warmup=st.integers(0, 15)),
    min_size=1,
    max_size=2,
    unique_by=lambda c: c.mini_batch_size,
)
PRICE = st.builds(
    Price,
    hourly=st.integers(1, 9).map(lambda coins: coins * COIN),
    unit_us=st.sampled_from([1, 1, 20]),
    least_us=st.sampled_from([0, 0, 30]),
)


@st.composite
def small_problems(draw: st.DrawFn) -> Problem:
    """Draw up to three classes of up to three devices, and images for some of them."""
    names = "abc"[: draw(st.integers(1, 3))]
    groups = [
        group(*draw(CHOICES), name=name, count=draw(st.integers(1, 3)), free=draw(st.sampled_from([0, 0, 7])))
        for name in names
    ]
    time = draw(st.integers(20, 60))
    bare = problem(*groups, images=1, time=time, confidence=draw(st.sampled_from([0.5, 0.95])), run=0.01, node=0.02)
    everything = sum(c.images * c.group.count for c in bare.capacities())
    images = max(1, everything * draw(st.integers(10, 100)) // 100)
    prices = Tariff(currency="USD", prices={name: draw(PRICE) for name in names})
    most = draw(st.sampled_from([None, None, 2, 4]))
    spreads = replace(bare.pool.spreads, start=draw(st.sampled_from([0.0, 2.5])))
    pool = replace(bare.pool, spreads=spreads)
    return replace(bare, pool=pool, images=images, tariff=prices, objective="MinCost", max_gpus=most)
