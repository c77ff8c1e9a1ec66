"""The architecture as a test: imports run one way, each foreign library has its one file, files stay short.

    study ──▶ dueby ──▶ operator ──▶ planner ──▶ api        dueby ──▶ profiler ──▶ worker ──▶ api

inside the worker

    steps ──▶ work ──▶ engines ──▶ models
      │        ├─────▶ output ───▶ models, storage
      │        └─────▶ telemetry
      └─────▶ index ──▶ images ──▶ models, storage

and inside the operator

    reconciler ──▶ kube ──▶ control ──▶ profiling ──▶ jobs ──▶ cluster ──▶ model ──▶ objects

The decision (everything that control/decide.py loads) reads no clock, and knows neither clients nor asyncio.

A rule is a function from a module to what breaks it; every break is reported at once, with its file and line.
"""

import ast
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median

import pytest

from support.source_tree import PACKAGES, REPOSITORY

# Small files of the operator that others stand on.
BASE = ("paths", "settings")
# Which of our packages each package may import.
MAY_IMPORT = {
    "dueby_api": set[str](),
    "dueby_planner": {"dueby_api"},
    "dueby_operator": {"dueby_api", "dueby_planner"},
    "dueby_worker": {"dueby_api"},
    "dueby_profiler": {"dueby_api", "dueby_planner", "dueby_worker"},
    "dueby": {"dueby_api", "dueby_planner", "dueby_operator", "dueby_worker", "dueby_profiler"},
    "dueby_study": {"dueby", "dueby_api", "dueby_planner", "dueby_worker", "dueby_profiler"},
}

# Which other folders of its own package each folder may import. Files beside the folders belong to the one named first.
FOLDERS_MAY_IMPORT: Mapping[str, Mapping[str, set[str]]] = {
    "dueby_worker": {
        "steps": {"engines", "images", "index", "models", "output", "storage", "telemetry", "work"},
        "storage": set(),
        "models": set(),
        "telemetry": set(),
        "images": {"models", "storage"},
        "index": {"images", "models", "storage"},
        "engines": {"models"},
        "output": {"models", "storage"},
        "work": {"engines", "models", "output", "storage", "telemetry"},
    },
    "dueby_operator": {
        "reconciler": {"objects", "model", "cluster", "jobs", "profiling", "control", "kube", *BASE},
        **{file: set[str]() for file in BASE},
        "objects": set(),
        "model": {"objects"},
        "cluster": {"objects", "model", *BASE},
        "jobs": {"objects", "model", "cluster", *BASE},
        "profiling": {"objects", "model", "cluster", "jobs", *BASE},
        "control": {"objects", "model", "cluster", "jobs", "profiling", *BASE},
        "kube": {"objects", "model", "cluster", "jobs", "profiling", "control", *BASE},
        "resources": {"jobs"},
    },
}
# What the command may know of the operator: the decision, and the values that it is about.
COMMAND_MAY_IMPORT = ("dueby_operator.model", "dueby_operator.control")
# What the decision may not import, in the operator or below it. It is given the time, and does nothing but compute.
DECISION = "dueby_operator.control.decide"
NOT_IN_DECISION = {
    *("aiohttp", "asyncio", "http", "kopf", "kubernetes", "logging", "os", "random", "socket", "subprocess"),
    *("threading", "time", "urllib"),
}
# datetime turns microseconds into text and back; these ask it for the time.
CLOCKS = {"now", "today", "utcnow"}
# A plan says how long it took to make. This stop-watch decides nothing.
STOP_WATCH = ("dueby_planner.model.plan", "time")

# Each foreign library is imported by one file only, whichever that is. These few are a language of their own in places:
SPREAD = {
    # stores; the API server and workers
    "aiohttp": ("worker/dueby_worker/storage/remote.py", "operator/dueby_operator/kube/"),
    "matplotlib": ("profiler/", "study/"),  # figures
    "numpy": ("worker/", "profiler/", "study/", "dueby/report/"),  # pixels, scores, samples
    # each process shows its own
    "prometheus_client": ("worker/dueby_worker/telemetry/metrics.py", "operator/dueby_operator/metrics.py"),
    # tables: the index, the rows, what the report reads of them, what the monitor saw
    "pyarrow": ("worker/", "dueby/report/", "profiler/", "study/"),
    "rich": ("dueby/cli/", "study/dueby_study/command.py"),  # what is shown to people
    "torch": ("worker/", "profiler/", "study/"),  # the models, and every engine that runs them
    "torchvision": ("worker/",),  # the registry of models, and the weights that are published for them
    "yaml": ("operator/", "profiler/", "dueby/", "study/"),  # manifests in, manifests out
}
# Nothing that `dueby plan` loads, directly or not, may import these at its top: it has half a second for everything.
PLAN_LOADS = ("dueby.cli.main", "dueby.cli.plan")
SLOW_TO_IMPORT = {
    *("aiohttp", "fsspec", "gcsfs", "jinja2", "kopf", "kubernetes", "matplotlib", "numpy", "openvino", "pandas"),
    *(
        "PIL",
        "prometheus_client",
        "psutil",
        "pyarrow",
        "s3fs",
        "safetensors",
        "simplejpeg",
        "sklearn",
        "torch",
        "torchvision",
    ),
}
# The planner computes; time, chance and the world are given to it.
NO_WORLD = {"asyncio", "http", "logging", "random", "shutil", "socket", "subprocess", "threading", "urllib"}

# CONTRIBUTING's limits.
MAX_FILE = 300
# 9 of 10 functions keep the usual limit, and none may be longer than the other.
MAX_USUAL_FUNCTION = 35
MAX_FUNCTION = 60
MAX_MEDIAN_FUNCTION = 9


@dataclass(frozen=True, kw_only=True)
class Import:
    """One imported module."""

    module: str
    line: int
    at_top: bool


@dataclass(frozen=True, kw_only=True)
class Module:
    """A file of ours."""

    path: str
    source: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source)

    @property
    def name(self) -> str:
        """dueby_planner.model.plan."""
        parts = Path(self.path).with_suffix("").parts
        inside = parts if parts[0] == "dueby" else parts[1:]
        return ".".join(inside[:-1] if inside[-1] == "__init__" else inside)

    @property
    def package(self) -> str:
        """dueby_planner, dueby_operator, dueby, ..."""
        return self.name.partition(".")[0]

    @cached_property
    def imports(self) -> tuple[Import, ...]:
        return tuple(_imports(self.tree, at_top=True))

    @property
    def own_imports(self) -> Iterator[Import]:
        """Each import of a module of ours."""
        return (found for found in self.imports if found.module.partition(".")[0] in PACKAGES)

    @property
    def foreign_imports(self) -> Iterator[tuple[str, Import]]:
        """Top-level name of each import that is neither ours nor Python's own."""
        for found in self.imports:
            name = found.module.partition(".")[0]
            if name not in PACKAGES and name not in sys.stdlib_module_names:
                yield name, found


def _imports(node: ast.AST, *, at_top: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(module=name.name, line=child.lineno, at_top=at_top) for name in child.names)
        elif isinstance(child, ast.ImportFrom):
            # `from dueby_planner import plan` imports dueby_planner.plan, if that is a module
            whole = "." * child.level + (child.module or "")
            inside = [f"{whole}.{name.name}" for name in child.names] if whole in FOLDERS else [whole]
            yield from (Import(module=module, line=child.lineno, at_top=at_top) for module in inside)
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _imports(child, at_top=False)
        else:
            yield from _imports(child, at_top=at_top and not _is_type_checking(child))


FOLDERS = {
    ".".join((package, *folder.relative_to(root).parts))
    for package, root in PACKAGES.items()
    for folder in (root, *(path for path in root.rglob("*") if path.is_dir() and path.name != "__pycache__"))
}


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


Rule = Callable[[Module], Iterator[tuple[int, str]]]


def imports_run_one_way(module: Module) -> Iterator[tuple[int, str]]:
    allowed = {module.package, *MAY_IMPORT[module.package]}
    for found in module.own_imports:
        package = found.module.partition(".")[0]
        if package not in allowed:
            yield found.line, f"{module.package} may not import {package}"


def folders_import_one_way(module: Module) -> Iterator[tuple[int, str]]:
    may_import = FOLDERS_MAY_IMPORT.get(module.package)
    if may_import is None:
        return
    folder = _folder(module.name, may_import)
    for found in module.own_imports:
        if not found.module.startswith(f"{module.package}."):
            continue
        other = _folder(found.module, may_import)
        if other not in {folder, *may_import[folder]}:
            yield found.line, f"{module.package}'s {folder} may not import its {other}"


def _folder(name: str, folders: Mapping[str, object]) -> str:
    """dueby_worker.images.jpeg is in images; dueby_worker.__main__ counts as one of the steps."""
    folder = name.split(".")[1] if "." in name else ""
    return folder if folder in folders else next(iter(folders))


def the_command_knows_the_decision_alone(module: Module) -> Iterator[tuple[int, str]]:
    if module.package == "dueby":
        for found in module.own_imports:
            if found.module.startswith("dueby_operator") and not found.module.startswith(COMMAND_MAY_IMPORT):
                yield found.line, f"of the operator it may import {' and '.join(COMMAND_MAY_IMPORT)} only"


def imports_are_absolute(module: Module) -> Iterator[tuple[int, str]]:
    for found in module.imports:
        if found.module.startswith("."):
            yield found.line, "write the whole name of the module"


def api_and_planner_touch_nothing(module: Module) -> Iterator[tuple[int, str]]:
    if module.package in ("dueby_api", "dueby_planner"):
        for found in module.imports:
            if found.module.partition(".")[0] in NO_WORLD:
                yield found.line, f"{module.package} is pure: {found.module} doesn't belong there"


def a_module_says_what_it_is_for(module: Module) -> Iterator[tuple[int, str]]:
    if not ast.get_docstring(module.tree):
        yield 1, "has no docstring"


def files_are_short(module: Module) -> Iterator[tuple[int, str]]:
    lines = module.source.count("\n")
    if lines > MAX_FILE:
        yield MAX_FILE, f"has {lines} lines, more than {MAX_FILE}: it holds more than one idea"


def functions_are_short(module: Module) -> Iterator[tuple[int, str]]:
    for node, lines in _functions(module):
        if lines > MAX_FUNCTION:
            yield node.lineno, f"{node.name} has {lines} lines, more than {MAX_FUNCTION}"


def _functions(module: Module) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, int]]:
    """Each function of the module with its number of lines."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node, (node.end_lineno or node.lineno) - node.lineno + 1


RULES: tuple[Rule, ...] = (
    imports_run_one_way,
    folders_import_one_way,
    the_command_knows_the_decision_alone,
    imports_are_absolute,
    api_and_planner_touch_nothing,
    a_module_says_what_it_is_for,
    files_are_short,
    functions_are_short,
)
# Benchmarks are scripts beside each other, in no package: only what is about a file by itself holds for them.
BENCHMARKS_KEEP: tuple[Rule, ...] = (a_module_says_what_it_is_for, files_are_short, functions_are_short)


def broken(rule: Rule, modules: tuple[Module, ...]) -> list[str]:
    """What breaks the rule, as lines that an editor can jump to."""
    return [f"{module.path}:{line}: {sentence}" for module in modules for line, sentence in rule(module)]


def read_modules(*folders: Path) -> tuple[Module, ...]:
    """Every file of these folders."""
    files = sorted(file for folder in folders for file in folder.rglob("*.py"))
    return tuple(Module(path=str(file.relative_to(REPOSITORY)), source=file.read_text()) for file in files)


MODULES = read_modules(*PACKAGES.values())


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_module_keeps_the_rule(rule: Rule) -> None:
    breaks = broken(rule, MODULES)
    assert not breaks, "\n" + "\n".join(breaks)


@pytest.mark.parametrize("rule", BENCHMARKS_KEEP, ids=lambda rule: rule.__name__)
def test_every_benchmark_keeps_the_rule(rule: Rule) -> None:
    benchmarks = read_modules(REPOSITORY / "benchmarks")
    assert benchmarks
    breaks = broken(rule, benchmarks)
    assert not breaks, "\n" + "\n".join(breaks)


@pytest.mark.parametrize("package", PACKAGES)
def test_nine_of_ten_functions_are_as_short_as_contributing_asks(package: str) -> None:
    lengths = [lines for module in MODULES if module.package == package for _, lines in _functions(module)]
    assert sum(lines <= MAX_USUAL_FUNCTION for lines in lengths) >= 0.9 * len(lengths)


def test_the_median_function_is_as_short_as_contributing_asks() -> None:
    assert median(lines for module in MODULES for _, lines in _functions(module)) <= MAX_MEDIAN_FUNCTION


@pytest.mark.parametrize("package", FOLDERS_MAY_IMPORT)
def test_the_table_of_folders_names_every_folder(package: str) -> None:
    folders = {path.name for path in PACKAGES[package].iterdir() if (path / "__init__.py").is_file()}
    assert folders - FOLDERS_MAY_IMPORT[package].keys() == set()


def loaded_by(modules: tuple[Module, ...], *, start: tuple[str, ...]) -> list[Module]:
    """Every module that importing the modules named `start` imports, in whatever way."""
    by_name = {module.name: module for module in modules}
    waiting, loaded = list(start), dict[str, Module]()
    while waiting:
        name = waiting.pop()
        if name in by_name and name not in loaded:
            loaded[name] = by_name[name]
            waiting += [own.module for own in by_name[name].own_imports]
    return list(loaded.values())


def world_in_decision(modules: tuple[Module, ...]) -> list[str]:
    """Imports that the decision must do without, and clocks that it reads."""
    found = []
    for module in loaded_by(modules, start=(DECISION,)):
        for imported in module.imports:
            name = imported.module.partition(".")[0]
            is_barred = name in NOT_IN_DECISION or imported.module.startswith("dueby_operator.kube")
            if is_barred and (module.name, name) != STOP_WATCH:
                found.append(f"{module.path}:{imported.line}: the decision may not import {imported.module}")
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CLOCKS:
                found.append(f"{module.path}:{node.lineno}: the decision is given the time and reads no clock")
    return found


def test_the_decision_has_no_client_no_clock_and_no_event_loop() -> None:
    assert len(loaded_by(MODULES, start=(DECISION,))) > 50
    found = world_in_decision(MODULES)
    assert not found, "\n" + "\n".join(found)


def test_a_clock_anywhere_below_the_decision_is_noticed() -> None:
    decision = Module(path="operator/dueby_operator/control/decide.py", source="from dueby_planner.x import y")
    clock = Module(path="planner/dueby_planner/x.py", source="def y():\n    import time")
    today = Module(path="planner/dueby_planner/x.py", source="def y():\n    return datetime.now(UTC)")
    client = Module(path="planner/dueby_planner/x.py", source="from dueby_operator.kube import client")
    assert world_in_decision((decision, clock))
    assert world_in_decision((decision, today))
    assert world_in_decision((decision, client))


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
            f"{module.path}:{foreign.line}: {library} is slow to import, and dueby plan loads this file"
            for library, foreign in module.foreign_imports
            if foreign.at_top and library in SLOW_TO_IMPORT
        ]
    return found


def test_dueby_plan_loads_nothing_slow() -> None:
    assert {module.name for module in MODULES} >= set(PLAN_LOADS)
    found = slow_imports(MODULES, start=PLAN_LOADS)
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


def test_each_folder_is_an_ordinary_package() -> None:
    folders = {file.parent for folder in PACKAGES.values() for file in folder.rglob("*.py")}
    missing = [str(folder) for folder in folders if not (folder / "__init__.py").is_file()]
    assert not missing, (
        f"{missing}: a folder without __init__.py is a namespace package, which mypy checks in part only"
    )


@pytest.mark.parametrize(
    ("rule", "path", "source"),
    [
        pytest.param(
            imports_run_one_way,
            "planner/dueby_planner/x.py",
            "from dueby_worker import models",
            id="planner imports worker",
        ),
        pytest.param(
            imports_run_one_way,
            "worker/dueby_worker/x.py",
            "import dueby_planner.model.solver",
            id="worker imports the solver",
        ),
        pytest.param(
            imports_run_one_way,
            "worker/dueby_worker/x.py",
            "from dueby_planner import plan",
            id="worker imports plan from the package",
        ),
        pytest.param(
            imports_run_one_way,
            "operator/dueby_operator/x.py",
            "def f():\n    import dueby.cli.run",
            id="operator imports command in a function",
        ),
        pytest.param(
            folders_import_one_way,
            "worker/dueby_worker/storage/x.py",
            "from dueby_worker.images import jpeg",
            id="the worker's storage imports its images",
        ),
        pytest.param(
            folders_import_one_way,
            "worker/dueby_worker/work/x.py",
            "import dueby_worker.__main__",
            id="the worker's work imports its entry point",
        ),
        pytest.param(
            folders_import_one_way,
            "operator/dueby_operator/control/x.py",
            "from dueby_operator.kube.client import Kube",
            id="the operator's control imports its client",
        ),
        pytest.param(
            the_command_knows_the_decision_alone,
            "dueby/local/x.py",
            "from dueby_operator.jobs import names",
            id="the command imports the operator's manifests",
        ),
        pytest.param(imports_are_absolute, "planner/dueby_planner/x.py", "from . import job", id="relative import"),
        pytest.param(
            api_and_planner_touch_nothing,
            "planner/dueby_planner/x.py",
            "from urllib.request import urlopen",
            id="planner opens a URL",
        ),
        pytest.param(a_module_says_what_it_is_for, "planner/dueby_planner/x.py", "X = 1", id="no docstring"),
        pytest.param(files_are_short, "planner/dueby_planner/x.py", "\n" * 301, id="301 lines"),
        pytest.param(
            functions_are_short,
            "planner/dueby_planner/x.py",
            "def f():\n" + "    f()\n" * 60,
            id="61 lines of function",
        ),
    ],
)
def test_the_rule_notices(rule: Rule, path: str, source: str) -> None:
    assert broken(rule, (Module(path=path, source=source),))


def test_the_rules_allow_what_the_layout_says() -> None:
    allowed = (
        (
            "dueby/cli/x.py",
            "from dueby_profiler.measuring.sweep import sweep\nfrom dueby_operator.control import decide",
        ),
        ("worker/dueby_worker/x.py", "from dueby_api.inference_job import Model\nimport torch"),
        ("worker/dueby_worker/images/x.py", "from dueby_worker.storage.store import Store"),
    )
    modules = tuple(Module(path=path, source=f'"""What for."""\n{source}') for path, source in allowed)
    assert not [line for rule in RULES for line in broken(rule, modules)]
