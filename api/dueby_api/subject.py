"""What a profile is about: a device class, and the model, image size, precision and engine that were run on it.

This is the one spelling of these five words. Plans, profiles and the Jobs that measure are matched by it, so that none
of them forgets one. CLASS@NODE is the own class of a node that is too slow for CLASS: its devices are measured as CLASS
and planned separately.
"""

from dataclasses import dataclass, replace
from typing import Literal

from dueby_api.classifiers import plain_name
from dueby_api.engines import EngineName, Precision
from dueby_api.gpu_profile import ProfileSpec
from dueby_api.inference_job import Model

# It stands between class and node in the name of a slow node's own class. No label's value and no node's name can have
# it, so the name can be taken apart again.
AT = "@"


@dataclass(frozen=True, order=True, kw_only=True)
class ModelSubject:
    """What is run on a device. A profile depends on nothing else of a job's model."""

    model: str
    image_size: int
    """Side in pixels."""
    precision: Precision
    engine: EngineName | Literal["auto"]
    """In a job, `auto` stands for any engine."""

    def __str__(self) -> str:
        return f"{self.model}-{self.image_size}-{self.precision}-{self.engine}"

    @property
    def sentence(self) -> str:
        """The subject in words for people, such as `efficientnet_b0 at 224 px, fp32, engine eager`."""
        engine = "" if self.engine == "auto" else f", engine {self.engine}"
        return f"{self.model} at {self.image_size} px, {self.precision}{engine}"

    def admits(self, other: "ModelSubject") -> bool:
        """Return whether the other subject is what this one asks for. `auto` in this one admits every engine."""
        return replace(other, engine=self.engine) == self if self.engine == "auto" else other == self


@dataclass(frozen=True, order=True, kw_only=True)
class Subject:
    """What a profile is about."""

    device_class: str
    about: ModelSubject

    @property
    def parts(self) -> tuple[str, ...]:
        """Class, model, image size, precision and engine as texts, from which names of profiles are made."""
        about = self.about
        return self.device_class, plain_name(about.model), str(about.image_size), about.precision, about.engine

    def of_class(self, device_class: str) -> "Subject":
        """Return the same subject on another device class."""
        return replace(self, device_class=device_class)

    def of_size(self, image_size: int) -> "Subject":
        """Return the same subject at another image size."""
        return replace(self, about=replace(self.about, image_size=image_size))

    def of_any_engine(self) -> "Subject":
        """Return the same subject with `auto` for its engine."""
        return replace(self, about=replace(self.about, engine="auto"))


def model_subject(model: Model) -> ModelSubject:
    """Return what has to be measured for a job's model."""
    return ModelSubject(model=model.name, image_size=model.image_size, precision=model.precision, engine=model.engine)


def profile_subject(spec: ProfileSpec) -> Subject:
    """Return what the profile is about. The own class of a slow node stays as it is."""
    model = spec.model
    about = ModelSubject(model=model.name, image_size=model.image_size, precision=model.precision, engine=spec.engine)
    return Subject(device_class=spec.device_class, about=about)


def own_class(device_class: str, node: str) -> str:
    """Return the own class of a slow node; the class itself if the node is empty."""
    return f"{device_class}{AT}{node}" if node else device_class


def class_of(device_class: str) -> str:
    """Return the class that a slow node's own class was made from; any other class itself."""
    return device_class.partition(AT)[0]


def node_of(device_class: str) -> str:
    """Return the node of a slow node's own class; an empty text for any other class."""
    return device_class.partition(AT)[2]
