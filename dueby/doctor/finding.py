"""What a check has found: one line of `dueby doctor`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "absent", "fails"]
"""ok: it works. absent: it isn't here, and only some jobs need it. fails: it is here and doesn't work."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    verdict: Verdict
    sentence: str
    """What was found."""
    advice: str = ""
    """What to do; empty if there is nothing to do."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the user asked about."""

    uris: tuple[str, ...] = ()
    """Places of images or results."""
    namespace: str | None = None
    """Where jobs are to be created; None: in the namespace of the kubeconfig's context, or of the pod."""


Check = Callable[[Asked], Iterator[Finding]]
