"""The profiles of a pass, found by the model that they are about: no job looks at those of other models. Pure.

There may be thousands, and each job asks several times. What other image sizes predict is worked out when a job is
planned, and stored nowhere: anybody may ask for any size.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cached_property

from dueby_api.gpu_profile import GPUProfile, ProfiledModel
from dueby_api.inference_job import Model
from dueby_api.subject import model_subject, profile_subject
from dueby_operator.profiling.managed import managed_profile, profile_name
from dueby_planner.profiles.class_profiles import matching
from dueby_planner.profiles.size_prediction import predictions

_Key = tuple[str, str]
"""A model's name and its precision."""
_Sizes = Mapping[int, tuple[GPUProfile, ...]]
"""Its profiles by image size."""


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
