"""The profiles of a pass, found by the model that they are about: no job looks at those of other models. Pure.

There may be thousands, and each job asks several times. What other image sizes predict is worked out when a job is
planned, and stored nowhere: anybody may ask for any size.

Those that the operator makes and keeps are named and marked here, and told from others. What somebody else wrote is
left alone: profiles without the operator's label.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cached_property

from dueby_api.gpu_profile import GPUProfile, OwnerReference, ProfiledModel, ProfileMetadata, ProfileSpec
from dueby_api.inference_job import API_VERSION, Model
from dueby_api.subject import Subject, class_of, model_subject, node_of, profile_subject
from dueby_operator.cluster.nodes import Node
from dueby_operator.jobs import names
from dueby_planner.profiles.class_profiles import matching
from dueby_planner.profiles.size_prediction import predictions

_Key = tuple[str, str]
"""A model's name and its precision."""
_Sizes = Mapping[int, tuple[GPUProfile, ...]]
"""Its profiles by image size."""


def managed_profile(name: str, spec: ProfileSpec, *, node: Node | None = None) -> GPUProfile:
    """Return a profile that the operator makes; one that is about a node goes with it."""
    owner = None if node is None else OwnerReference(api_version="v1", kind="Node", name=node.name, uid=node.uid)
    metadata = ProfileMetadata(name=name, labels=names.MANAGED, owner_references=(owner,) if owner else None)
    return GPUProfile(api_version=API_VERSION, kind="GPUProfile", metadata=metadata, spec=spec)


def profile_name(subject: Subject, *more: str) -> str:
    return names.profile_object_name(*subject.parts, *more)


def node_subject(spec: ProfileSpec) -> Subject:
    """Return what the profile is about, with the class that a slow node's own class comes from."""
    subject = profile_subject(spec)
    return subject.of_class(class_of(subject.device_class))


def is_managed(profile: GPUProfile) -> bool:
    return names.is_managed(profile.metadata.labels or {})


def is_of_slow_node(profile: GPUProfile) -> bool:
    """Return whether it is the operator's profile of a slow node's own class."""
    spec = profile.spec
    is_of_class = not spec.device.node and not spec.predicted
    return is_managed(profile) and is_of_class and bool(node_of(spec.device_class))


def is_predicted(profile: GPUProfile) -> bool:
    """Return whether an operator predicted it: earlier ones have stored what they predicted."""
    return is_managed(profile) and profile.spec.predicted is not None


class KnownProfiles:
    """Profiles as a value, by name and by model."""

    def __init__(self, profiles: Iterable[GPUProfile] = ()) -> None:
        self.all = tuple(profiles)
        self._predicted: dict[object, tuple[GPUProfile, ...]] = {}
        """By what is asked for, what others predict of it."""

    def of(self, model: Model) -> tuple[GPUProfile, ...]:
        """Return those of this model, image size and precision, and of its engine unless that is `auto`."""
        return tuple(matching(self._by_model.get(_key(model), {}).get(model.image_size, ()), model))

    def predicted(self, model: Model) -> tuple[GPUProfile, ...]:
        """Return what profiles of other image sizes predict for the classes that have none of this model.

        The classes' own profiles count, and of these what everybody believes.
        """
        about = model_subject(model)
        if about not in self._predicted:
            alike = (profile for of_size in self._by_model.get(_key(model), {}).values() for profile in of_size)
            of_classes = [profile for profile in alike if not profile.spec.device.node]
            predicted = (
                managed_profile(profile_name(profile_subject(profile.spec), "predicted"), profile.spec)
                for profile in predictions(of_classes, model, namespace="")
            )
            self._predicted[about] = tuple({profile.name: profile for profile in predicted}.values())
        return self._predicted[about]

    def having(self, profile: GPUProfile) -> "KnownProfiles":
        """Return the same with this profile, in place of one of its name."""
        return KnownProfiles((*(old for old in self.all if old.name != profile.name), profile))

    @cached_property
    def device_classes(self) -> frozenset[str]:
        """The classes that there is any profile of."""
        return frozenset(profile.spec.device_class for profile in self.all)

    @cached_property
    def _by_model(self) -> Mapping[_Key, _Sizes]:
        by_model: dict[_Key, dict[int, list[GPUProfile]]] = defaultdict(lambda: defaultdict(list))
        for profile in self.all:
            by_model[_key(profile.spec.model)][profile.spec.model.image_size].append(profile)
        return {key: {size: tuple(of_size) for size, of_size in sizes.items()} for key, sizes in by_model.items()}


def _key(model: Model | ProfiledModel) -> _Key:
    return model.name, model.precision
