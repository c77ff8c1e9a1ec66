"""Each foreign library has its one file, and `dueby plan` and `dueby run` load none that is slow to import."""

from collections import defaultdict

import pytest

from support.source_modules import MODULES, Module

# Each foreign library is imported by one file only, whichever that is. These few are a language of their own in places:
SPREAD = {
    # stores; the API server and workers
    "aiohttp": (
        "worker/dueby_worker/storage/remote.py",
        "operator/dueby_operator/kube/",
        "operator/dueby_operator/gathering/",
    ),
    "matplotlib": ("study/",),  # figures
    "numpy": ("worker/", "profiler/", "study/", "dueby/report/"),  # pixels, scores, samples
    # each process shows its own
    "prometheus_client": ("worker/dueby_worker/telemetry/metrics.py", "operator/dueby_operator/web/metrics.py"),
    # tables: the index, the rows, what the report reads of them, what the monitor saw
    "pyarrow": ("worker/", "dueby/report/", "profiler/", "study/"),
    "rich": ("dueby/cli/", "dueby/runs/", "dueby/terminal/", "study/dueby_study/make.py"),  # what is shown to people
    "torch": ("worker/", "profiler/", "study/"),  # the models, and every engine that runs them
    "torchvision": ("worker/",),  # the registry of models, and the weights that are published for them
    # manifests in, manifests out, and what is beside an ONNX file
    "yaml": ("operator/", "profiler/", "dueby/", "study/", "worker/dueby_worker/models/onnx_description.py"),
}
# Nothing that `dueby plan` loads, directly or not, may import these at its top: it has half a second for everything.
PLAN_LOADS = ("dueby.cli.main", "dueby.cli.arguments", "dueby.cli.plan")
# Nor may what `dueby run` loads: its steps and workers are processes of their own.
RUN_LOADS = ("dueby.cli.main", "dueby.cli.arguments", "dueby.cli.run", "dueby.runs.run_manifests")
SLOW_TO_IMPORT = {
    *("aiohttp", "fsspec", "gcsfs", "jinja2", "kopf", "kubernetes", "matplotlib", "numpy", "onnxruntime", "openvino"),
    *(
        "lance",
        "nncf",
        "pandas",
        "PIL",
        "prometheus_client",
        "psutil",
        "pyarrow",
        "s3fs",
        "safetensors",
        "simplejpeg",
        "sklearn",
        "tensorrt",
        "timm",
        "torch",
        "torchvision",
        "transformers",
    ),
}


def strays(modules: tuple[Module, ...]) -> list[str]:
    """Imports of foreign libraries outside the one file, or the few places, that each has."""
    imports: dict[str, dict[str, int]] = defaultdict(dict)
    for module in modules:
        for name, found in module.foreign_imports:
            imports[name].setdefault(module.path, found.line)
    return [
        f"{path}:{line}: {name} belongs {place}"
        for name, lines in imports.items()
        for path, line in lines.items()
        if (place := _misplaced(name, path, files=len(lines)))
    ]


def _misplaced(library: str, path: str, *, files: int) -> str:
    """Where the library belongs instead; empty where it is right here."""
    if library in SPREAD:
        return "" if path.startswith(SPREAD[library]) else f"below {', '.join(SPREAD[library])}"
    return "" if files == 1 else f"in one file and is in {files}: let one offer what the others need"


def test_each_foreign_library_has_its_one_file() -> None:
    found = strays(MODULES)
    assert not found, "\n" + "\n".join(found)


def test_a_library_in_two_files_or_in_the_wrong_place_is_noticed() -> None:
    def modules(*paths: str, source: str) -> tuple[Module, ...]:
        return tuple(Module(path=path, source=source) for path in paths)

    assert strays(modules("worker/dueby_worker/x.py", "worker/dueby_worker/y.py", source="import openvino as ov"))
    assert strays(modules("dueby/cli/x.py", source="def f():\n    import torch"))
    assert not strays(modules("worker/dueby_worker/x.py", "worker/dueby_worker/y.py", source="import torch, os"))


def slow_imports(modules: tuple[Module, ...], *, start: tuple[str, ...]) -> list[str]:
    """What is slow among everything that importing the modules named `start` imports."""
    by_name = {module.name: module for module in modules}
    waiting, loaded, found = list(start), set[str](), []
    while waiting:
        name = waiting.pop()
        if name in loaded or name not in by_name:
            continue
        loaded.add(name)
        module = by_name[name]
        waiting += [own.module for own in module.own_imports if own.at_top]
        found += [
            f"{module.path}:{foreign.line}: {library} is slow to import, and {start[-1]} loads this file"
            for library, foreign in module.foreign_imports
            if foreign.at_top and library in SLOW_TO_IMPORT
        ]
    return found


@pytest.mark.parametrize("start", [PLAN_LOADS, RUN_LOADS], ids=["plan", "run"])
def test_dueby_plan_and_run_load_nothing_slow(start: tuple[str, ...]) -> None:
    assert {module.name for module in MODULES} >= set(start)
    found = slow_imports(MODULES, start=start)
    assert not found, "\n" + "\n".join(found)


def test_a_slow_import_is_noticed_wherever_it_is() -> None:
    modules = (
        Module(path="dueby/cli/x.py", source="from dueby_planner import y"),
        Module(path="planner/dueby_planner/y.py", source="try:\n    import numpy\nexcept ImportError:\n    pass"),
        Module(
            path="planner/dueby_planner/z.py", source="if TYPE_CHECKING:\n    import torch\ndef f():\n    import torch"
        ),
    )
    assert slow_imports(modules, start=("dueby.cli.x",))
    assert not slow_imports(modules, start=("dueby_planner.z",))
