"""Kubernetes quantities as numbers: 250m is 0.25, 4Gi is 2 ** 32.

They are bounded as Kubernetes bounds them, so that no sum or ratio of them is infinite: to 2 ** 63 on both sides, and
what is closer to 0 than a billionth is a billionth.
"""

import re
from functools import lru_cache

Amount = str | int | float
"""A quantity as documents spell it."""
LARGEST, SMALLEST = 2.0**63, 1e-9
# Kubernetes' own are far shorter.
MAX_QUANTITY = 64
_SUFFIXES = {
    "": 1.0,
    "n": 1e-9,
    "u": 1e-6,
    "m": 1e-3,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "P": 1e15,
    "E": 1e18,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
    "Pi": 2**50,
    "Ei": 2**60,
}
_QUANTITY = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)([A-Za-z]*)")


# In each pass the operator reads the same few texts for every job.
@lru_cache(maxsize=4096, typed=True)
def quantity(amount: Amount) -> float:
    """Return a quantity as a number within the bounds. Raise ValueError, with a sentence, for anything else."""
    text = str(amount) if not isinstance(amount, int) else str(max(-(2**63), min(amount, 2**63)))
    parts = _QUANTITY.fullmatch(text) if len(text) <= MAX_QUANTITY else None
    if parts is None or parts[2] not in _SUFFIXES:
        raise ValueError(f"{text[:MAX_QUANTITY]!r} is not a quantity, such as 500m, 4 or 2Gi")
    value = float(parts[1]) * _SUFFIXES[parts[2]]
    if 0 < abs(value) < SMALLEST:
        return SMALLEST if value > 0 else -SMALLEST
    return max(-LARGEST, min(value, LARGEST))


def require_amount(name: str, amount: Amount) -> None:
    """Raise ValueError, with the name and a sentence, unless the amount is a quantity of at least 0."""
    try:
        if quantity(amount) < 0:
            raise ValueError(f"must not be negative, but is {amount}")
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
