"""The checks of `dueby doctor`, in the order in which they are shown."""

from collections.abc import Iterator, Sequence

from dueby.doctor.cluster import check_cluster
from dueby.doctor.engines import check_engines
from dueby.doctor.finding import Asked, Check, Finding
from dueby.doctor.machine import check_machine
from dueby.doctor.places import check_places
from dueby.doctor.profiles import check_profiles
from dueby.doctor.torch import check_torch

CHECKS: Sequence[Check] = (
    check_machine,  # the system, cores and memory
    check_torch,  # what models run by, and the GPUs that it sees
    check_engines,  # each engine, and its precisions
    check_profiles,  # what was measured here
    check_places,  # the URIs that are asked about
    check_cluster,  # kubectl, the CRDs, the operator, and one's rights
)


def examine(asked: Asked) -> Iterator[Finding]:
    """Yield what each check finds."""
    for check in CHECKS:
        yield from check(asked)
