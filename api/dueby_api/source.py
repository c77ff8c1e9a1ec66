"""Where a job's images come from: a folder, glob or tars, a list, a column of Parquet files or Lance, or nowhere."""

from typing import Annotated, Literal

from dueby_api.places import require_name
from dueby_api.schema import Meta, Spec

STRICT_ON_GPUS = "decoder: a GPU can't decode tolerantly; set decoder to cpu, or decode to strict"
COLORS_ON_GPUS = "decoder: a GPU doesn't convert colours; set decoder to cpu, or color to stored"
PHOTOS_ON_GPUS = "decoder: synthetic images aren't decoded; leave it out"
Uri = Annotated[str, Meta(min_length=1, max_length=2048)]
# The column of rows that says which row of an earlier generation a row replaces, since the image's file has changed.
REPLACES = "replaces"
# The columns that rows have by themselves, with whatever output, and `dueby.read` gives them.
ROW_COLUMNS = (
    *("index", "uri", "name", "classes", "labels", "scores", "flagged", "probabilities", "embedding", "error"),
    *("warning", "generation", REPLACES),
)
NOT_KEPT = "which the rows have anyhow; give the source's column another name"
NOTHING_TO_KEEP = "keep: synthetic images have no columns; leave it out"
KEPT_TWICE = "keep: names a column twice"
ONLY_APPENDED = "classifies images again beside the rows that there are, which is what ifExists: Append does; add that"
ONLY_FILES = (
    "compares files by what their store says of them when it lists a folder; give a folder or a glob as source.uri"
)
# Where Lance datasets aren't read, and what is said of one that is there.
NOT_FOR_LANCE = ("gs", "az", "http", "https")
NO_LANCE_THERE = "Lance datasets are read at file and s3; copy this one there"


class ListedSource(Spec, frozen=True, kw_only=True):
    """A list of images."""

    uri: Uri
    """A text file (one URI a line), or CSV, TSV, JSON Lines or Parquet with a column `uri`."""
    any_host: bool = False
    """Whether rows may lie elsewhere than the list itself: at another scheme, bucket or host. Workers fetch what they
    name from their own network and with their own credentials, so say true only if you trust who wrote the list."""

    def __post_init__(self) -> None:
        require_name("uri", self.uri)


class Synthetic(Spec, frozen=True, kw_only=True):
    """Images that are generated, the same for the same index: the study's dummy images."""

    width: Annotated[int, Meta(ge=1, le=16_384)] | None = None
    """Width in pixels; the model's image size by default."""
    height: Annotated[int, Meta(ge=1, le=16_384)] | None = None
    """Height in pixels; the model's image size by default."""


class Parquet(Spec, frozen=True, kw_only=True):
    """Images in a column of Parquet files."""

    uri: Uri
    """A Parquet file, a folder of such, a glob, or braces (s3://bucket/train-{00000..00127}.parquet, or *.parquet); at
    file, s3, gs, az, http or https."""
    column: Annotated[str, Meta(min_length=1, max_length=256)] = "image"
    """The column of the encoded images (JPEG, PNG and so on): binary, or a struct with `bytes`, as Hugging Face's
    datasets write it."""
    name: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    """The column that names the images, which may lie in a struct (image.path): a row's `uri` is then FILE#NAME, and no
    name may come twice in a file. By default it is FILE#ROW, counted from 0."""

    def __post_init__(self) -> None:
        require_name("uri", self.uri)


class Lance(Spec, frozen=True, kw_only=True):
    """Images in a column of a Lance dataset."""

    uri: Uri
    """The dataset's folder (s3://bucket/photos.lance), at file or s3."""
    column: Annotated[str, Meta(min_length=1, max_length=256)] = "image"
    """The column of the encoded images (JPEG, PNG and so on): binary, a blob column, or a struct with `bytes`, as
    Hugging Face's datasets write it."""
    name: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    """The column that names the images, which may lie in a struct (image.path): a row's `uri` is then DATASET#NAME, and
    no name may come twice. By default it is DATASET#ROW, counted from 0."""
    version: Annotated[int, Meta(ge=1, le=1_000_000_000)] | None = None
    """The dataset's version; by default the newest when the images are listed. Later writes change nothing."""

    def __post_init__(self) -> None:
        require_name("uri", self.uri)
        if self.uri.lower().startswith(tuple(f"{scheme}://" for scheme in NOT_FOR_LANCE)):
            raise ValueError(f"uri: {NO_LANCE_THERE}")


class ReadLimits(Spec, frozen=True, kw_only=True):
    """What a store serves all workers together, at most; no more devices are planned than that feeds."""

    requests_per_second: Annotated[int, Meta(ge=1, le=10**9)] | None = None
    """GET and HEAD requests a second; absent: no limit."""
    bytes_per_second: Annotated[int, Meta(ge=1, le=10**15)] | None = None
    """Bytes a second; absent: no limit."""


class Source(Spec, frozen=True, kw_only=True):
    """Where the images come from: exactly one of uri, manifest, parquet, lance and synthetic."""

    uri: Uri | None = None
    """A folder, a glob, or tar shards, whose images are read where they lie (s3://bucket/{000..127}.tar, or *.tar); at
    file, s3, gs, az, http or https."""
    manifest: ListedSource | None = None
    """A list of images instead of a folder."""
    parquet: Parquet | None = None
    """Images in a column of Parquet files, which are read where they lie."""
    lance: Lance | None = None
    """Images in a column of a Lance dataset, which are read where they lie; `pip install 'dueby[lance]'`."""
    synthetic: Synthetic | None = None
    """Generated images; `images` says how many."""
    decode: Literal["strict", "tolerant"] = "strict"
    """strict: an image that is cut off or damaged has no result but an error. tolerant: what Pillow opens with
    LOAD_TRUNCATED_IMAGES is classified, what it lacks filled up, and its row says so in `warning`."""
    decoder: Literal["cpu", "gpu"] = "cpu"
    """What decodes JPEGs. cpu: the worker's cores. gpu: the worker's NVIDIA GPU, by nvImageCodec, to slightly other
    pixels; only GPUs are planned then."""
    color: Literal["stored", "srgb"] = "stored"
    """What an image's numbers are taken for. stored: sRGB, whatever its file says, as Pillow and torchvision take them.
    srgb: the colours that the ICC profile in its file says, which are converted to sRGB, as browsers do it."""
    allow_unreadable: bool = False
    """Go on although none of the sampled images can be read. By default such a job stops before it starts workers."""
    limits: ReadLimits | None = None
    """What the source serves this job's workers together, at most. What the store is known to serve binds, too."""
    keep: Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=256)], ...], Meta(max_length=32)] = ()
    """Columns of the source that the rows have under the same names: of a list in CSV, TSV, JSON Lines or Parquet, of
    Parquet files, or of a Lance dataset. Of tars, the ending of a file beside the image (cls), or a key in its .json.
    Texts, numbers, true or false, dates and times can be kept, at most 4,096 bytes an image."""

    def __post_init__(self) -> None:
        if sum(part is not None for part in (self.uri, self.manifest, self.parquet, self.lance, self.synthetic)) != 1:
            raise ValueError("give exactly one of uri, manifest, parquet, lance and synthetic")
        require_name("uri", self.uri or "")
        if self.decoder == "gpu" and self.decode == "tolerant":
            raise ValueError(STRICT_ON_GPUS)
        if self.decoder == "gpu" and self.color != "stored":
            raise ValueError(COLORS_ON_GPUS)
        if self.decoder == "gpu" and self.synthetic is not None:
            raise ValueError(PHOTOS_ON_GPUS)
        self._require_columns()

    def _require_columns(self) -> None:
        """Raise ValueError, with the field, if what is to be kept can't be columns beside the rows' own."""
        if self.keep and self.synthetic is not None:
            raise ValueError(NOTHING_TO_KEEP)
        if len(set(self.keep)) < len(self.keep):
            raise ValueError(KEPT_TWICE)
        for name in self.keep:
            require_name("keep", name)
            if name in ROW_COLUMNS:
                raise ValueError(f"keep: names {name}, {NOT_KEPT}")

    @property
    def images_uri(self) -> str | None:
        """Where the images lie; None if a list says so, or if they are synthetic."""
        column = self.parquet or self.lance
        return column.uri if column is not None else self.uri

    @property
    def images_field(self) -> str:
        """The field that `images_uri` is of."""
        kind = "parquet." if self.parquet is not None else "lance." if self.lance is not None else ""
        return f"spec.source.{kind}uri"
