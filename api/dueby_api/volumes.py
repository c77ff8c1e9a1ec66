"""Volumes of a job's worker pods, as Kubernetes spells them.

Those that a user names without an administrator are here. Others, such as iSCSI, are reached by a claim: a
PersistentVolumeClaim may lead to any volume.
"""

from typing import Annotated

from dueby_api.quantities import MAX_QUANTITY
from dueby_api.schema import Meta, Spec, field

Name = Annotated[str, Meta(max_length=253)]
NeededName = Annotated[str, Meta(min_length=1, max_length=253)]
Path = Annotated[str, Meta(max_length=4096)]
Text = Annotated[str, Meta(max_length=2048)]
Quantity = Annotated[str, Meta(max_length=MAX_QUANTITY)] | Annotated[int, Meta(ge=0, le=2**62)]
Mode = Annotated[int, Meta(ge=0, le=0o777)]
Words = Annotated[dict[str, Text], Meta(max_length=64)]


class NamedObject(Spec, frozen=True, kw_only=True):
    """An object of the namespace, by its name."""

    name: NeededName
    """Its name."""


class OptionalObject(NamedObject, frozen=True, kw_only=True):
    """An object of the namespace that may be missing."""

    optional: bool | None = None
    """Whether it may be missing."""


class FieldOfPod(Spec, frozen=True, kw_only=True):
    """A field of the pod."""

    api_version: Name | None = None
    """Version of the schema that the path is of."""
    field_path: Text
    """Path of the field, such as metadata.name."""


class ResourceOfContainer(Spec, frozen=True, kw_only=True):
    """What a container asks for or may use."""

    container_name: Name | None = None
    """The container."""
    resource: Name
    """Such as limits.cpu."""
    divisor: Quantity | None = None
    """The unit."""


class KeyToFile(Spec, frozen=True, kw_only=True):
    """A key, and the file that its value becomes."""

    key: NeededName
    """The key."""
    path: Path
    """Path of the file in the volume."""
    mode: Mode | None = None
    """Who may read it."""


class FieldToFile(Spec, frozen=True, kw_only=True):
    """A field of the pod, and the file that it becomes."""

    path: Path
    """Path of the file in the volume."""
    field_ref: FieldOfPod | None = None
    """A field of the pod."""
    resource_field_ref: ResourceOfContainer | None = None
    """What a container asks for or may use."""
    mode: Mode | None = None
    """Who may read it."""


KeyFiles = Annotated[tuple[KeyToFile, ...], Meta(max_length=256)]
FieldFiles = Annotated[tuple[FieldToFile, ...], Meta(max_length=64)]


class ClaimVolume(Spec, frozen=True, kw_only=True):
    """What a PersistentVolumeClaim leads to."""

    claim_name: NeededName
    """The PersistentVolumeClaim."""
    read_only: bool | None = None
    """Whether nothing may be written."""


class HostPathVolume(Spec, frozen=True, kw_only=True):
    """A folder or file of the node."""

    path: Path
    """Where it is on the node."""
    type: Name | None = None
    """Such as Directory."""


class EmptyDirVolume(Spec, frozen=True, kw_only=True):
    """A folder that goes with the pod."""

    medium: Name | None = None
    """Memory, or the node's disk."""
    size_limit: Quantity | None = None
    """The most that may be written."""


class KeysOfObject(OptionalObject, frozen=True, kw_only=True):
    """Files of a ConfigMap or a Secret."""

    items: KeyFiles | None = None
    """Keys that become files; absent: all."""


class DownwardSource(Spec, frozen=True, kw_only=True):
    """Files of the pod's own fields."""

    items: FieldFiles | None = None
    """Fields that become files."""


class ConfigMapVolume(KeysOfObject, frozen=True, kw_only=True):
    """Files of a ConfigMap."""

    default_mode: Mode | None = None
    """Who may read the files."""


class SecretVolume(Spec, frozen=True, kw_only=True):
    """Files of a Secret."""

    secret_name: NeededName
    """The Secret."""
    items: KeyFiles | None = None
    """Keys that become files; absent: all."""
    default_mode: Mode | None = None
    """Who may read the files."""
    optional: bool | None = None
    """Whether it may be missing."""


class DownwardVolume(DownwardSource, frozen=True, kw_only=True):
    """Files of the pod's own fields."""

    default_mode: Mode | None = None
    """Who may read the files."""


class NFSVolume(Spec, frozen=True, kw_only=True):
    """A folder of an NFS server."""

    server: Text
    """The server."""
    path: Path
    """The folder."""
    read_only: bool | None = None
    """Whether nothing may be written."""


class CSIVolume(Spec, frozen=True, kw_only=True):
    """A volume that a driver makes for the pod."""

    driver: NeededName
    """The driver."""
    fs_type: Name | None = None
    """The file system."""
    read_only: bool | None = None
    """Whether nothing may be written."""
    volume_attributes: Words | None = None
    """What the driver is told."""
    node_publish_secret_ref: NamedObject | None = None
    """A Secret for the driver."""


class ImageVolume(Spec, frozen=True, kw_only=True):
    """The files of an image."""

    reference: Text
    """The image."""
    pull_policy: Name | None = None
    """Always, Never or IfNotPresent."""


class TokenFile(Spec, frozen=True, kw_only=True):
    """A token of the service account."""

    path: Path
    """Path of the file in the volume."""
    audience: Text | None = None
    """Whom the token is meant for."""
    expiration_seconds: Annotated[int, Meta(ge=600, le=2**32)] | None = None
    """How long it is valid."""


class ProjectedSource(Spec, frozen=True, kw_only=True):
    """One of the sources of a projected volume. Exactly one of these."""

    config_map: KeysOfObject | None = None
    """Files of a ConfigMap."""
    secret: KeysOfObject | None = None
    """Files of a Secret."""
    downward_api: DownwardSource | None = field(default=None, name="downwardAPI")
    """Files of the pod's own fields."""
    service_account_token: TokenFile | None = None
    """A token of the service account."""


class ProjectedVolume(Spec, frozen=True, kw_only=True):
    """Files from several sources."""

    sources: Annotated[tuple[ProjectedSource, ...], Meta(max_length=32)]
    """The sources."""
    default_mode: Mode | None = None
    """Who may read the files."""


class Volume(NamedObject, frozen=True, kw_only=True):
    """A volume: its name, and exactly one of the others."""

    persistent_volume_claim: ClaimVolume | None = None
    """What a PersistentVolumeClaim leads to."""
    csi: CSIVolume | None = None
    """A volume that a driver makes for the pod."""
    nfs: NFSVolume | None = None
    """A folder of an NFS server."""
    image: ImageVolume | None = None
    """The files of an image."""
    host_path: HostPathVolume | None = None
    """A folder or file of the node."""
    empty_dir: EmptyDirVolume | None = None
    """A folder that goes with the pod."""
    config_map: ConfigMapVolume | None = None
    """Files of a ConfigMap."""
    secret: SecretVolume | None = None
    """Files of a Secret."""
    projected: ProjectedVolume | None = None
    """Files from several sources."""
    downward_api: DownwardVolume | None = field(default=None, name="downwardAPI")
    """Files of the pod's own fields."""
