"""Fields of a job's worker pods that are Kubernetes' own.

What the operator reckons with is typed: resources and tolerations. The rest goes into the pods as it is written, since
Kubernetes knows its fields best; here it is only seen to that it has the shape that is relied on.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from dueby_api.errors import Invalid
from dueby_api.quantities import Amount, require_amount
from dueby_api.schema import LenientSpec, Meta, field, validate

# Labels and annotations below it are the operator's own: it finds its pods by them.
OWN_PREFIX = "dueby.dev/"
# No volume has half as many.
MAX_LEVELS = 20
# Linux starts no process with a variable of 128 KiB: name, `=`, value and a NUL.
MAX_VARIABLE = 2**17 - 3
Name = Annotated[str, Meta(max_length=253)]
Text = Annotated[str, Meta(max_length=2048)]
Amounts = dict[str, Amount]


class WorkerResources(LenientSpec, frozen=True, kw_only=True):
    """What a worker asks for and may use, without its device."""

    requests: Amounts = field(default_factory=dict)
    """Quantities that are asked for, by resource: cpu, memory."""
    limits: Amounts = field(default_factory=dict)
    """Quantities that may be used, by resource."""

    def __post_init__(self) -> None:
        for part, amounts in (("requests", self.requests), ("limits", self.limits)):
            for name, amount in amounts.items():
                require_amount(f"{part}[{name[:63]}]", amount)


class WorkerToleration(LenientSpec, frozen=True, kw_only=True):
    """A taint that the pods tolerate."""

    key: Text | None = None
    """The taint's key; absent: any."""
    operator: Annotated[str, Meta(max_length=16)] | None = None
    """Exists or Equal, which is the default."""
    value: Text | None = None
    """The taint's value, for Equal."""
    effect: Annotated[str, Meta(max_length=16)] | None = None
    """NoSchedule, PreferNoSchedule or NoExecute; absent: any."""
    toleration_seconds: Annotated[int, Meta(ge=-(2**31), le=2**31)] | None = None
    """How long a taint with NoExecute is tolerated; absent: for ever."""


class NamedPart(LenientSpec, frozen=True, kw_only=True):
    """A volume, or a Secret of a registry: it has a name."""

    name: Annotated[str, Meta(min_length=1, max_length=253)]


class EnvVariable(NamedPart, frozen=True, kw_only=True):
    """An environment variable."""

    value: str | None = None
    value_from: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        # Of what Kubernetes refuses itself, this is what no process of any system can be started with.
        if "=" in self.name or "\0" in self.name:
            raise ValueError(f"name: {self.name[:63]!r} can't be a variable's name; leave out = and NUL")
        if "\0" in (self.value or ""):
            raise ValueError("value: has a NUL character, which no variable can have")
        if len(self.name) + len((self.value or "").encode(errors="replace")) > MAX_VARIABLE:
            raise ValueError(f"value: is too long; a variable has at most {MAX_VARIABLE:,} bytes, with its name")


class EnvSource(LenientSpec, frozen=True, kw_only=True):
    """A source of environment variables."""

    prefix: str | None = None
    config_map_ref: NamedPart | None = None
    secret_ref: NamedPart | None = None


class VolumeMount(NamedPart, frozen=True, kw_only=True):
    """Where a volume is mounted."""

    mount_path: Annotated[str, Meta(min_length=1, max_length=4096)]


def require_shape(name: str, kind: type[LenientSpec], documents: Iterable[Mapping[str, Any]]) -> None:
    """Raise ValueError, with the field, unless every document has this shape and can be written again."""
    for place, document in enumerate(documents):
        if _is_deeper(document, MAX_LEVELS):
            raise ValueError(f"{name}[{place}]: is nested too deeply")
        try:
            validate(kind, document, origin=f"{name}[{place}]")
        except Invalid as error:
            raise ValueError(f"{error.field.replace(': ', '.')}: {error.message}") from None


def require_foreign(name: str, entries: Mapping[str, str] | None) -> None:
    """Raise ValueError, with the field, if labels or annotations are the operator's own."""
    for key in entries or ():
        if key.startswith(OWN_PREFIX):
            raise ValueError(f"{name}: {key[:80]} is the operator's own; choose another prefix than {OWN_PREFIX}")


def _is_deeper(value: Any, levels: int) -> bool:
    """Return whether there is something below so many levels."""
    layer = [value]
    for _ in range(levels):
        layer = [inner for outer in layer for inner in _inside(outer)]
    return bool(layer)


def _inside(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
