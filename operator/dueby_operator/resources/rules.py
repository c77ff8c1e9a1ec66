"""The rules of the CRDs: what one field's schema can't say, in CEL, each with the sentence that a user reads.

The classes of dueby_api say the same in `__post_init__`, for those who have no cluster.
"""

from collections.abc import Mapping

from dueby_api.classifiers import ONNX, ONNX_SUFFIX, PYTHON, PYTHON_NAME
from dueby_api.engines import ENGINES, EngineEntry, Format, runs_on_cpu, unsuited
from dueby_api.gpu_profile import ASSUMED_IN_CLUSTER
from dueby_api.inference_job import (
    BUCKETS,
    CPU_CLASS,
    CPU_CLASSES_SENTENCE,
    ENGINE_BESIDE_GPU_DECODER,
    MAX_N,
    NAMED_ROWS,
    NO_MADE_ONES,
    QUEUE_NAME,
    READ_ONLY_SINK,
    RESERVE_WITHIN_MAX,
)
from dueby_api.model import ONNX_WEIGHTS, PYTHON_FUNCTION, PYTHON_WEIGHTS
from dueby_api.output import OUTPUT_FIELDS, only_of
from dueby_api.pod_fields import IMAGE, IMAGE_SENTENCE
from dueby_api.prices import MONEY_PATTERN, MONEY_SENTENCE
from dueby_api.schema import FIRST_YEAR, LAST_YEAR, YEARS_PATTERN, json_schemas
from dueby_api.schemes import READ_ONLY
from dueby_api.source import (
    COLORS_ON_GPUS,
    KEPT_TWICE,
    NO_LANCE_THERE,
    NOT_FOR_LANCE,
    NOT_KEPT,
    NOTHING_TO_KEEP,
    ONLY_APPENDED,
    ONLY_FILES,
    PHOTOS_ON_GPUS,
    ROW_COLUMNS,
    STRICT_ON_GPUS,
    Source,
)
from dueby_api.units import DURATION_PATTERN

Rule = tuple[str, str]
"""CEL, and the sentence for a resource of which it doesn't hold."""


def is_like(pattern: str) -> str:
    """Return CEL that holds of the texts that match."""
    return f"self.matches(r'{pattern}')"


# In place of a pattern, which the API server shows as it is.
PATTERNS: Mapping[str, Rule] = {
    DURATION_PATTERN: (
        is_like(DURATION_PATTERN),
        "must be a duration such as 10m, 1h30m or 90s, of at most 99999h; a day is 24h",
    ),
    MONEY_PATTERN: (is_like(MONEY_PATTERN), MONEY_SENTENCE),
    QUEUE_NAME: (is_like(QUEUE_NAME), "must be a LocalQueue's name: small letters, digits and dashes"),
    # What is of the format date-time is a time in CEL.
    YEARS_PATTERN: (
        f"self.getFullYear() >= {FIRST_YEAR} && self.getFullYear() <= {LAST_YEAR}",
        f"must be in the years {FIRST_YEAR} to {LAST_YEAR}, such as 2026-12-01T06:00:00Z",
    ),
}
_MORE_THAN_NONE = (f"!{is_like(DURATION_PATTERN)} || duration(self) > duration('0s')", "must be longer than 0")

# A model of each format, for the sentence about an engine that doesn't run it.
_EXAMPLES: Mapping[Format, str] = {"torch": "resnet50", "onnx": f"{ONNX}mine"}


def _named_as(formats: tuple[Format, ...]) -> str:
    """Return CEL that holds of the models of that format."""
    is_onnx = f"self.name.startsWith('{ONNX}')"
    return is_onnx if formats == ("onnx",) else f"!{is_onnx}"


def _unsuited(entry: EngineEntry) -> str:
    other = next(name for one, name in _EXAMPLES.items() if one not in entry.formats)
    return str(unsuited(entry.name, other))


_CPU_ENGINES = [name for name in ENGINES if runs_on_cpu(name)]
# Once the images are counted, what the results depend on stays as it is.
_ONCE_INDEXED = "!has(oldSelf.status) || !has(oldSelf.status.images) || "
# All of the source but what may be asked of it, on which no result depends.
_SAME_SOURCE = " && ".join(
    f"has(self.spec.source.{name}) == has(oldSelf.spec.source.{name}) && "
    f"(!has(self.spec.source.{name}) || self.spec.source.{name} == oldSelf.spec.source.{name})"
    for name in json_schemas(Source)["Source"]["properties"]
    if name != "limits"
)
# By the resource's kind and the path of what the rule is about.
RULES: Mapping[tuple[str, str], tuple[Rule, ...]] = {
    ("InferenceJob", ""): (
        (
            "size(self.metadata.name) <= 40 && !self.metadata.name.contains('.')",
            "metadata.name: at most 40 letters, digits and dashes: the names of the job's pods begin with it",
        ),
        *(
            (
                f"{_ONCE_INDEXED}{condition}",
                f"spec.{name}: can't change once the images are counted: the results depend on it; make another job",
            )
            for name, condition in (
                ("source", f"({_SAME_SOURCE})"),
                *((name, f"self.spec.{name} == oldSelf.spec.{name}") for name in ("sink", "model", "output")),
            )
        ),
        (
            f"{_ONCE_INDEXED}has(self.spec.images) == has(oldSelf.spec.images) && "
            "(!has(self.spec.images) || self.spec.images == oldSelf.spec.images)",
            "spec.images: can't change once the images are counted; make another job",
        ),
    ),
    ("InferenceJob", "spec"): (
        ("has(self.deadline) != has(self.deadlineTime)", "give exactly one of deadline and deadlineTime"),
        (
            "!has(self.source.synthetic) || has(self.images)",
            "images: is missing; a synthetic source has as many images as you say",
        ),
        (
            "!has(self.source.synthetic) || self.sink.ifExists != 'Append'",
            f"sink.ifExists: {NO_MADE_ONES}",
        ),
        (
            "!has(self.source.lance) || has(self.source.lance.name) || self.sink.ifExists != 'Append'",
            f"source.lance.name: {NAMED_ROWS}",
        ),
        ("!self.sink.changed || has(self.source.uri)", f"sink.changed: {ONLY_FILES}"),
        (
            f"self.source.decoder != 'gpu' || !(self.model.engine in {_CPU_ENGINES})",
            f"model.engine: {ENGINE_BESIDE_GPU_DECODER}",
        ),
        # Other spellings of it, and folders in it, are found where the job is parsed.
        (
            "!has(self.source.uri) || self.source.uri != self.sink.uri",
            "sink.uri: is the folder of the source; give the results a folder of their own",
        ),
        *(
            (
                f"!has(self.source.{kind}) || self.source.{kind}.uri != self.sink.uri",
                "sink.uri: is the folder of the source; give the results a folder of their own",
            )
            for kind in ("parquet", "lance")
        ),
    ),
    ("InferenceJob", "spec.deadline"): (_MORE_THAN_NONE,),
    ("InferenceJob", "spec.ttlAfterFinished"): (_MORE_THAN_NONE,),
    ("InferenceJob", "spec.gpus"): (
        ("!has(self.max) || !has(self.reserve) || self.reserve <= self.max", f"reserve: {RESERVE_WITHIN_MAX}"),
        (
            "!has(self.classes) || self.classes.all(name, "
            f"!name.lowerAscii().startsWith('cpu-') || name.matches(r'{CPU_CLASS}'))",
            f"classes: {CPU_CLASSES_SENTENCE}",
        ),
    ),
    ("InferenceJob", "spec.worker.image"): ((is_like(IMAGE), IMAGE_SENTENCE),),
    ("InferenceJob", "spec.maxFailedImages"): (
        (
            "type(self) == string ? self.matches('^(100|[0-9]{1,2}([.][0-9]{1,4})?)%$')"
            f" : self >= 0 && self <= {MAX_N}",
            f"must be a number of images from 0 to {MAX_N}, or a share such as 1% or 0.5%",
        ),
    ),
    ("InferenceJob", "spec.source"): (
        (
            "[has(self.uri), has(self.manifest), has(self.parquet), has(self.lance), has(self.synthetic)]"
            ".filter(given, given).size() == 1",
            "give exactly one of uri, manifest, parquet, lance and synthetic",
        ),
        ("self.decoder != 'gpu' || self.decode != 'tolerant'", STRICT_ON_GPUS),
        ("self.decoder != 'gpu' || self.color != 'srgb'", COLORS_ON_GPUS),
        ("self.decoder != 'gpu' || !has(self.synthetic)", PHOTOS_ON_GPUS),
        ("!has(self.keep) || size(self.keep) == 0 || !has(self.synthetic)", NOTHING_TO_KEEP),
        (
            f"!has(self.keep) || !self.keep.exists(name, name in {list(ROW_COLUMNS)})",
            f"keep: names one of {', '.join(ROW_COLUMNS)}, {NOT_KEPT}",
        ),
        ("!has(self.keep) || self.keep.all(name, self.keep.exists_one(other, other == name))", KEPT_TWICE),
    ),
    ("InferenceJob", "spec.source.lance"): (
        (f"!self.uri.lowerAscii().matches('^({'|'.join(NOT_FOR_LANCE)})://')", f"uri: {NO_LANCE_THERE}"),
    ),
    ("InferenceJob", "spec.sink"): (
        (
            f"!self.uri.lowerAscii().matches('^({'|'.join(READ_ONLY)})://')",
            f"uri: {READ_ONLY_SINK}",
        ),
        (
            "!self.uri.contains('*') && !self.uri.contains('?')",
            "uri: is a glob, but results go to one folder; leave out * and ?",
        ),
        ("!self.changed || self.ifExists == 'Append'", f"changed: {ONLY_APPENDED}"),
        # Without a cluster a relative path is one of the working directory.
        (
            "self.uri.startsWith('/') || self.uri.lowerAscii().matches('^[a-z0-9]+://')",
            "uri: is a relative path, which means nothing in a pod; give the path on a volume, such as /data/rows, or "
            f"use {BUCKETS}",
        ),
    ),
    ("InferenceJob", "spec.model"): tuple(
        # The API server also holds the rules against the default of the whole model, which has no fields yet.
        (f"!has(self.name) || {rule}", sentence)
        for rule, sentence in (
            (f"!self.name.startsWith('{ONNX}') || self.weights.endsWith('{ONNX_SUFFIX}')", f"weights: {ONNX_WEIGHTS}"),
            (f"!self.name.startsWith('{PYTHON}') || self.name.matches('{PYTHON_NAME}')", f"name: {PYTHON_FUNCTION}"),
            (f"!self.name.startsWith('{PYTHON}') || self.weights != 'none'", f"weights: {PYTHON_WEIGHTS}"),
            *(
                (f"self.engine != '{entry.name}' || {_named_as(entry.formats)}", f"engine: {_unsuited(entry)}")
                for entry in ENGINES.values()
                if len(entry.formats) == 1
            ),
        )
    ),
    ("InferenceJob", "spec.output"): tuple(
        (f"!has(self.{field}) || self.kind == '{kind}'", only_of(field))
        for kind, fields in OUTPUT_FIELDS.items()
        for field in fields
    ),
    ("GPUProfile", "spec"): (
        ("!has(self.assumed) || !self.assumed", f"assumed: {ASSUMED_IN_CLUSTER}"),
        (
            "self.steps.map(step, step.miniBatchSize).isSorted()",
            "steps: must ascend in miniBatchSize",
        ),
        (
            "self.steps.all(step, self.steps.filter(other, other.miniBatchSize == step.miniBatchSize).size() == 1)",
            "steps: has two rows of one miniBatchSize; keep one",
        ),
        (
            "has(self.steps[size(self.steps) - 1].warmupMicros)",
            "steps: the largest size has no warmupMicros, and there is no larger one to take it from",
        ),
        (
            "!has(self.maxMiniBatchSize) || self.maxMiniBatchSize >= self.steps[0].miniBatchSize",
            "maxMiniBatchSize: is below the least size measured",
        ),
    ),
    ("GPUProfile", "spec.startupMicros"): (("self.p95 >= self.p50", "p95 is below the median"),),
    ("GPUProfile", "spec.steps[].warmupMicros"): (("self.p95 >= self.p50", "p95 is below the median"),),
}
