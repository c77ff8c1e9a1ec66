"""The architecture as a test: imports run one way. (What the decision may load is in test_decision.py.)

    study ──▶ dueby ──▶ operator ──▶ planner ──▶ api        dueby ──▶ profiler ──▶ worker ──▶ api
                           └───────▶ pages ────▶ api

inside the worker

    steps ──▶ work ──▶ engines ──▶ models
      │        ├─────▶ output ───▶ models, storage
      │        └─────▶ telemetry
      └─────▶ index ──▶ images ──▶ models, storage        several of them ──▶ system

inside the planner

    schedule ──▶ answer, deadline_classes ──▶ profiles, model

inside `dueby`

    cli, library ──▶ runs ──▶ local ──▶ inputs        runs ──▶ terminal, report

and inside the operator

    loop ──▶ passes ──▶ gathering ──▶ kube ──▶ control ──▶ profiling ──▶ jobs ──▶ cluster ──▶ model ──▶ objects
      └────▶ web ─────────────────────────────▶ control              preview ──▶ gathering

A rule is a function from a module to what breaks it; every break is reported at once, with its file and line.
"""

import pkgutil
import re
from collections.abc import Iterator, Mapping
from types import ModuleType

import pytest

import support
import support.kind
from support.source_modules import MODULES, Module, Rule, broken, loaded_by
from support.source_tree import PACKAGES

# Small files of the operator that others stand on.
BASE = ("paths", "settings")
# Files of the command and the library that plan, and say so in words.
PLANS = {"fleet_calendar", "plan_words", "planned_calendar", "planned_curve", "planned_job", "planning"}
# Files of the planner that judge one job's plan, and say so in words.
JUDGES = {"answer", "deadline_classes"}
# Which of our packages each package may import.
MAY_IMPORT = {
    "dueby_api": set[str](),
    "dueby_planner": {"dueby_api"},
    "dueby_pages": {"dueby_api"},
    "dueby_operator": {"dueby_api", "dueby_planner", "dueby_pages"},
    "dueby_worker": {"dueby_api"},
    "dueby_profiler": {"dueby_api", "dueby_planner", "dueby_worker"},
    "dueby": {"dueby_api", "dueby_planner", "dueby_pages", "dueby_operator", "dueby_worker", "dueby_profiler"},
    "dueby_study": {"dueby", "dueby_api", "dueby_planner", "dueby_pages", "dueby_worker", "dueby_profiler"},
}

# Which other folders of its own package each folder may import. Files beside the folders belong to the one named first.
FOLDERS_MAY_IMPORT: Mapping[str, Mapping[str, set[str]]] = {
    "dueby_planner": {
        "schedule": {"model", "profiles", "answer", "deadline_classes"},
        **{file: {"model", "profiles", *JUDGES} for file in JUDGES},
        "profiles": {"model", "small_samples"},
        "model": {"profiles", "small_samples"},
        "small_samples": {"model"},
    },
    "dueby": {
        "library": {"cluster", "inputs", "report", "runs", "terminal", *PLANS},
        "cli": {"cluster", "doctor", "inputs", "report", "runs", "terminal", *PLANS},
        "doctor": {"cluster", "inputs"},
        "runs": {"inputs", "local", "report", "terminal", *PLANS},
        "local": {"inputs", *PLANS},
        "terminal": PLANS,
        **{file: {"inputs", *PLANS} for file in PLANS},
        "cluster": {"inputs"},
        "inputs": set(),
        "report": {"planned_curve"},
    },
    "dueby_worker": {
        "steps": {"engines", "images", "index", "models", "output", "storage", "system", "telemetry", "work"},
        "system": set(),
        "storage": {"system"},
        "models": {"system"},
        "telemetry": set(),
        "images": {"models", "storage", "system"},
        "index": {"images", "models", "storage", "system"},
        "engines": {"models", "system"},
        "output": {"models", "storage", "system"},
        "work": {"engines", "models", "output", "storage", "telemetry"},
    },
    "dueby_operator": {
        "loop": {
            *("objects", "model", "cluster", "jobs", "control", "kube", "gathering", "passes", "web", "options"),
            *BASE,
        },
        "passes": {"objects", "model", "cluster", "jobs", "control", "kube", "gathering", *BASE},
        "web": {"objects", "model", "cluster", "jobs", "control", *BASE},
        "gathering": {"objects", "model", "cluster", "jobs", "profiling", "control", "kube", *BASE},
        **{file: set[str]() for file in BASE},
        "objects": set(),
        "model": {"objects"},
        "cluster": {"objects", "model", *BASE},
        "jobs": {"objects", "model", "cluster", *BASE},
        "profiling": {"objects", "model", "cluster", "jobs", *BASE},
        "control": {"objects", "model", "cluster", "jobs", "profiling", *BASE},
        "kube": {"objects", "model", "cluster", "jobs", "profiling", "control", "resources", *BASE},
        "preview": {"objects", "model", "cluster", "jobs", "control", "kube", "gathering", "options", *BASE},
        "options": {"cluster", *BASE},
        "resources": {"jobs"},
    },
}
# What the command may know of the operator: the decision, the values that it is about, and the preview of a cluster.
COMMAND_MAY_IMPORT = ("dueby_operator.model", "dueby_operator.control", "dueby_operator.preview")
# The planner computes; time, chance and the world are given to it.
NO_WORLD = {"asyncio", "http", "logging", "random", "shutil", "socket", "subprocess", "threading", "urllib"}


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


RULES: tuple[Rule, ...] = (
    imports_run_one_way,
    folders_import_one_way,
    the_command_knows_the_decision_alone,
    imports_are_absolute,
    api_and_planner_touch_nothing,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_module_keeps_the_rule(rule: Rule) -> None:
    breaks = broken(rule, MODULES)
    assert not breaks, "\n" + "\n".join(breaks)


@pytest.mark.parametrize("package", FOLDERS_MAY_IMPORT)
def test_the_table_of_folders_names_every_folder(package: str) -> None:
    folders = {path.name for path in PACKAGES[package].iterdir() if (path / "__init__.py").is_file()}
    assert folders - FOLDERS_MAY_IMPORT[package].keys() == set()


def in_circles(modules: tuple[Module, ...]) -> list[str]:
    """Modules that import themselves by way of others, in whatever way."""
    own = {module.name: tuple(found.module for found in module.own_imports) for module in modules}
    return [module.path for module in modules if module in loaded_by(modules, start=own[module.name])]


def test_no_module_imports_itself_by_way_of_others() -> None:
    assert not in_circles(MODULES)


def test_a_circle_of_modules_is_noticed() -> None:
    one = Module(path="dueby/one.py", source="from dueby.two import f")
    two = Module(path="dueby/two.py", source="def f():\n    from dueby.one import g")
    assert len(in_circles((one, two))) == 2


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
            folders_import_one_way,
            "dueby/library/x.py",
            "def f():\n    from dueby.cli.report import run",
            id="the library imports a subcommand",
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


@pytest.mark.parametrize("package", [support, support.kind], ids=lambda package: package.__name__)
def test_the_map_of_the_tests_support_names_every_module(package: ModuleType) -> None:
    words = set(re.findall(r"\w+", package.__doc__ or ""))
    assert {info.name for info in pkgutil.iter_modules(package.__path__)} - words == set()
