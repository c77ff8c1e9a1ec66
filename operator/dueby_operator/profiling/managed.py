"""The profiles that the operator makes and keeps: how they are named, marked and told from others. Pure.

What somebody else wrote is left alone: profiles without the operator's label.
"""

from dueby_api.gpu_profile import GPUProfile, OwnerReference, ProfileMetadata, ProfileSpec
from dueby_api.inference_job import API_VERSION
from dueby_api.subject import Subject, class_of, node_of, profile_subject
from dueby_operator.cluster.nodes import Node
from dueby_operator.jobs import names


def managed_profile(name: str, spec: ProfileSpec, *, node: Node | None = None) -> GPUProfile:
    """Return a profile that the operator makes; one that is about a node goes with it."""
    owner = None if node is None else OwnerReference(api_version="v1", kind="Node", name=node.name, uid=node.uid)
    metadata = ProfileMetadata(name=name, labels=names.MANAGED, owner_references=(owner,) if owner else None)
    return GPUProfile(api_version=API_VERSION, kind="GPUProfile", metadata=metadata, spec=spec)


def profile_name(subject: Subject, *more: str) -> str:
    """Return the name of the operator's profile of a subject."""
    return names.profile_object_name(*subject.parts, *more)


def node_subject(spec: ProfileSpec) -> Subject:
    """Return what the profile is about, with the class that a slow node's own class comes from."""
    subject = profile_subject(spec)
    return subject.of_class(class_of(subject.device_class))


def is_managed(profile: GPUProfile) -> bool:
    """Return whether the operator made it."""
    return names.is_managed(profile.metadata.labels or {})


def is_of_slow_node(profile: GPUProfile) -> bool:
    """Return whether it is the operator's profile of a slow node's own class."""
    spec = profile.spec
    is_of_class = not spec.device.node and not spec.predicted
    return is_managed(profile) and is_of_class and bool(node_of(spec.device_class))


def is_predicted(profile: GPUProfile) -> bool:
    """Return whether an operator predicted it: earlier ones have stored what they predicted."""
    return is_managed(profile) and profile.spec.predicted is not None
