"""GPUProfiles as the API server stores them."""

from dueby_api.gpu_profile import ProfileMetadata, ProfileSpec
from dueby_api.schema import LenientSpec, Raw
from dueby_operator.objects.stored_jobs import NOTHING


class StoredProfile(LenientSpec, frozen=True, kw_only=True):
    """A GPUProfile, with a status that another version may have written."""

    metadata: ProfileMetadata
    spec: ProfileSpec
    status: Raw = NOTHING
