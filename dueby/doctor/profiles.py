"""The profiles of this machine, which plans are made from."""

from collections.abc import Iterator

from dueby.doctor.finding import Asked, Finding
from dueby.inputs.files import profile_home, read_profiles
from dueby_api.errors import Invalid
from dueby_api.words import counted


def check_profiles(_: Asked) -> Iterator[Finding]:
    """Yield which models were measured here."""
    try:
        home = profile_home()
        found = read_profiles([str(home)]) if home.is_dir() else []
    except Invalid as error:
        yield Finding(subject="profiles", verdict="fails", sentence=str(error), advice="fix or delete that file")
        return
    if not found:
        advice = "dueby profile --model MODEL, or let dueby run measure what it needs"
        yield Finding(subject="profiles", verdict="absent", sentence=f"{home} has none", advice=advice)
        return
    models = ", ".join(sorted({profile.spec.model.name for profile in found}))
    yield Finding(subject="profiles", verdict="ok", sentence=f"{counted(len(found), 'profile')} of {models} in {home}")
