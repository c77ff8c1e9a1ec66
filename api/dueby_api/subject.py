"""What a profile is about: a device class, and the model, image size, precision and engine that were run on it.

Plans, profiles and the Jobs that measure them are matched by it. CLASS@NODE is the class of a node that is too slow for
CLASS: it is measured as CLASS and planned on its own.
"""

from dataclasses import dataclass, replace
from typing import Literal

from dueby_api.engines import EngineName, Precision
from dueby_api.gpu_profile import ProfileSpec
from dueby_api.inference_job import Model

# Between class and node in the name of a slow node's own class; no label's value and no node's name has it.
AT = "@"


@dataclass(frozen=True, order=True, kw_only=True)
class ModelSubject:
    """What is run on a device: a profile depends on this of a job's model, and on nothing else of it."""

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
        """The subject for people: `efficientnet_b0 at 224 px, fp32, engine eager`."""
        engine = "" if self.engine == "auto" else f", engine {self.engine}"
        return f"{self.model} at {self.image_size} px, {self.precision}{engine}"

    def admits(self, other: "ModelSubject") -> bool:
        """Return whether the other is this one, with `auto` here standing for any engine there."""
        return replace(other, engine=self.engine) == self if self.engine == "auto" else other == self


@dataclass(frozen=True, order=True, kw_only=True)
class Subject:
    """What a profile is about."""

    device_class: str
    about: ModelSubject

    @property
    def parts(self) -> tuple[str, ...]:
        """Its words, for the name of a profile: class, model, image size, precision, engine."""
        about = self.about
        return self.device_class, about.model, str(about.image_size), about.precision, about.engine

    def of_class(self, device_class: str) -> "Subject":
        """Return the same subject on another device class."""
        return replace(self, device_class=device_class)

    def of_size(self, image_size: int) -> "Subject":
        """Return the same subject at another image size."""
        return replace(self, about=replace(self.about, image_size=image_size))


def model_subject(model: Model) -> ModelSubject:
    """Return what a job's model asks to be measured."""
    return ModelSubject(model=model.name, image_size=model.image_size, precision=model.precision, engine=model.engine)


def profile_subject(spec: ProfileSpec) -> Subject:
    """Return what the profile is about, a slow node's own class as that."""
    model = spec.model
    about = ModelSubject(model=model.name, image_size=model.image_size, precision=model.precision, engine=spec.engine)
    return Subject(device_class=spec.device_class, about=about)


def own_class(device_class: str, node: str) -> str:
    """Return the class of a slow node's devices; the class itself where no node is given."""
    return f"{device_class}{AT}{node}" if node else device_class


def class_of(device_class: str) -> str:
    """Return the class that a slow node's own class comes from; of any other, itself."""
    return device_class.partition(AT)[0]


def node_of(device_class: str) -> str:
    """Return the node of a slow node's own class; empty for any other."""
    return device_class.partition(AT)[2]
