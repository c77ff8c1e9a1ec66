"""The number of examples that each property is tried on: few in an ordinary run, many in `make test-deep`.

`pytest --hypothesis-profile=deep` selects the many. Tests marked `deep` run with that profile only.
"""

import os
from collections.abc import Callable
from typing import Any

import hypothesis

DEEP = "deep"
# A property that asks for no number of its own. An ordinary run has to end within minutes on two cores.
USUAL_EXAMPLES, DEEP_EXAMPLES = 20, 1000


def load_profiles() -> None:
    """Register the profiles and load the ordinary one; CI tries the same examples in every run."""
    # Times vary on a shared machine, so no test fails for being slow once, be it at drawing its examples.
    patient: dict[str, Any] = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
    settings = hypothesis.settings
    settings.register_profile("usual", max_examples=USUAL_EXAMPLES, **patient)
    settings.register_profile("ci", max_examples=USUAL_EXAMPLES, derandomize=True, **patient)
    settings.register_profile(DEEP, max_examples=DEEP_EXAMPLES, **patient)
    settings.load_profile("ci" if os.environ.get("CI") else "usual")


def examples(number: int) -> Callable[[Any], Any]:
    """Return a decorator that tries a property on `number` examples per 100 that other properties are tried on.

    With 20 examples for the others, `@examples(400)` tries 80. Used beside @given, as hypothesis.settings is.
    """
    return hypothesis.settings(max_examples=max(5, number * hypothesis.settings().max_examples // 100))
