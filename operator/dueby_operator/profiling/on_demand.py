"""What comes of measuring on demand: profiles for everybody, and what one job keeps for itself. Pure.

What a tenant's pod has measured is a tenant's word, whoever started the pod. So it stays in the status of the job that
it was measured for, packed as the pod has left it, and goes with the job.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from dueby_api.errors import Invalid
from dueby_api.gpu_profile import GPUProfile
from dueby_api.inference_job import Model
from dueby_api.packed_profile import pack_profile, unpack_profile
from dueby_api.subject import profile_subject
from dueby_operator.cluster.nodes import Node
from dueby_operator.profiling.attempts import Attempt
from dueby_operator.profiling.class_profiles import profiles_of
from dueby_operator.profiling.known_profiles import is_managed, managed_profile, profile_name
from dueby_operator.profiling.measurements import Measurement, store
from dueby_operator.profiling.provenance import with_provenance
from dueby_planner.profiles.class_profiles import matching


def store_attempts(
    attempts: Mapping[str, Attempt], nodes: Mapping[str, Node], profiles: Sequence[GPUProfile]
) -> tuple[list[GPUProfile], dict[str, Attempt]]:
    """Return the new profiles of what was measured for everybody, and the attempts.

    An attempt has failed if somebody else's profile has the name of one that it makes.
    """
    theirs = {profile.name for profile in profiles if not is_managed(profile)}
    current, after, new = list(profiles), dict(attempts), list[GPUProfile]()
    for name, attempt in attempts.items():
        stored = _profiles_of(attempt, nodes.get(attempt.node), current)
        if foreign := ", ".join(sorted(theirs.intersection(profile.name for profile in stored))):
            message = (
                f"the GPUProfile {foreign} was made by somebody else and has the name under which it would be kept"
            )
            after[name] = replace(attempt, state="failed", found=None, message=message)
        else:
            new += stored
            current = [*(profile for profile in current if profile.name not in {one.name for one in stored}), *stored]
    return new, after


def pack_own(attempts: Iterable[Attempt]) -> tuple[str, ...]:
    """Return what was measured for one job, for its status."""
    return tuple(pack_profile(attempt.found) for attempt in attempts if attempt.found)


def keep_own(packed: Iterable[str], model: Model) -> tuple[str, ...]:
    """Return those of a status that are about this model."""
    return tuple(text for text in packed if (profile := _read(text)) and matching([profile], model))


def own_profiles(packed: Iterable[str]) -> list[GPUProfile]:
    """Return the profiles that a job's status keeps for it alone."""
    return [profile for text in packed if (profile := _read(text))]


@lru_cache(128)  # every pass asks for the same; of one that unpacks to 16 KiB at most 80 KiB are kept
def _read(packed: str) -> GPUProfile | None:
    try:
        spec = unpack_profile(packed, origin="status.ownProfiles")
    except Invalid:  # of another version of the operator; it is measured again
        return None
    spec = spec.replace(observed=(), device=spec.device.replace(node=None))
    return managed_profile(profile_name(profile_subject(spec), "own"), spec)


def _profiles_of(attempt: Attempt, node: Node | None, profiles: Sequence[GPUProfile]) -> list[GPUProfile]:
    """Return the profiles that the attempt makes, as far as they are new; none before it is done."""
    if attempt.found is None:
        return []
    if node is None:  # it is gone, and its class is known by this alone
        return profiles_of(attempt.found, node=None, profiles=profiles)
    return store([Measurement(spec=with_provenance(attempt.found, node=node), node=node)], profiles)
