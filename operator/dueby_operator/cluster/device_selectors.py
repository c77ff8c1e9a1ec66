"""Which devices a DeviceClass selects, as far as its expressions can be read. Pure.

The scheduler evaluates the Common Expression Language. Here only conjunctions of equalities are read, which is what
NVIDIA's charts and examples write: device.driver == 'a' && device.attributes['b'].c == 'd'. Of a class that says
anything else nobody here knows which devices it selects, so none are counted as its own.
"""

import re
from dataclasses import dataclass

from dueby_operator.objects.resource_slices import Device, DeviceClass

_TEXT = r"(?:'([^'\\]*)'|\"([^\"\\]*)\")"
_TERM = re.compile(rf"\s*device\.(?:driver|attributes\[{_TEXT}\]\.(\w+))\s*==\s*{_TEXT}\s*")


@dataclass(frozen=True, kw_only=True)
class Selector:
    """What the devices of a class have in common."""

    equalities: tuple[tuple[str, str], ...]
    """Attributes, as DOMAIN/NAME, with their values. That of the empty name is the driver."""

    def selects(self, device: Device, *, driver: str) -> bool:
        """Return whether a device of the driver is of the class."""
        return all(_value(device, name, driver) == value for name, value in self.equalities)


def read_selector(found: DeviceClass) -> Selector | None:
    """Return what the class selects; None if it says so in more words than can be read."""
    equalities = []
    for selector in found.spec.selectors:
        for term in selector.cel.expression.split("&&"):
            match = _TERM.fullmatch(term)
            if match is None:
                return None
            domain, name, value = match[1] or match[2], match[3], match[4] if match[4] is not None else match[5]
            equalities.append((f"{domain}/{name}" if name else "", value))
    return Selector(equalities=tuple(equalities))


def _value(device: Device, name: str, driver: str) -> str | None:
    """Return the text that the device has under this name. A name without a domain is in that of the driver."""
    if not name:
        return driver
    own = name.removeprefix(f"{driver}/")
    found = device.attributes.get(own) or device.attributes.get(name)
    return found.string if found else None
