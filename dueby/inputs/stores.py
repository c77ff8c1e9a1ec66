"""What stores serve that a machine's own jobs read from, as far as its environment says something of it."""

import os
from collections.abc import Mapping

from dueby_api.store_limits import ENDPOINT_VARIABLES, StoreLimits


def stores_here(environment: Mapping[str, str] | None = None) -> tuple[StoreLimits, ...]:
    """Return what is known here beside the stores' own documentation; the process's environment by default.

    Another server than Amazon's or Microsoft's, which the environment names, promises nothing, so nothing limits it.
    """
    known = os.environ if environment is None else environment
    elsewhere = (scheme for scheme, variables in ENDPOINT_VARIABLES.items() if variables & known.keys())
    return tuple(StoreLimits(prefix=f"{scheme}://") for scheme in elsewhere)
