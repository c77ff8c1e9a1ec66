"""What the column Images/s of GPUProfiles shows. Pure."""

from collections.abc import Iterable

from dueby_api.gpu_profile import GPUProfile, images_per_second
from dueby_api.status import ProfileStatus
from dueby_operator import paths
from dueby_operator.model.writes import Change


def rates(profiles: Iterable[GPUProfile]) -> list[Change]:
    """Return what brings `status.imagesPerSecond` up to date, where it isn't."""
    return [
        Change(path=paths.profiles_path(profile.name, "status"), fields={"status": {"imagesPerSecond": rate}})
        for profile in profiles
        if (rate := round(images_per_second(profile.spec))) != (profile.status or ProfileStatus()).images_per_second
    ]
