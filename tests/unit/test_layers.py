"""The architecture as a test: imports run one way, each foreign library has its one file, files stay short.

    command ──▶ operator ──▶ planner ◀── worker ◀── profiler        command ──▶ profiler, worker, report in subcommands

A rule is a function from a module to what breaks it; every break is reported at once, with its file and line.
"""

import ast
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
SOURCE_ROOTS = ("planner", "operator", "worker", "profiler")
PACKAGES = ("planner", "operator", "command", "worker", "profiler", "report")

# Which of our packages each package may import.
MAY_IMPORT = {
    "planner": {"planner"},
    "operator": {"operator", "planner"},
    "worker": {"worker", "planner"},
    "profiler": {"profiler", "worker", "planner"},
    "report": {"report", "planner"},
    "command": {"command", "operator", "planner", "report", "worker", "profiler"},
}
# The worker is given its plan: it knows the planner's values, never how a plan is found.
PLANNER_VALUES = {"errors", "units", "schema", "job", "profiles", "shares"}

# Each foreign library is imported by one file only, whichever that is. These few are a language of their own in places:
SPREAD = {
    "aiohttp": ("worker/dueby/worker/remote.py", "operator/dueby/operator/"),  # stores; workers and the API server
    "matplotlib": ("profiler/",),  # figures
    "numpy": ("worker/", "profiler/", "operator/dueby/report/"),  # pixels, scores, samples
    # each process shows its own
    "prometheus_client": ("worker/dueby/worker/metrics.py", "operator/dueby/operator/cluster/metrics.py"),
    # tables: the index, the rows, what the report reads of them, what the monitor saw
    "pyarrow": ("worker/", "operator/dueby/report/", "profiler/"),
    "rich": ("operator/dueby/command/",),  # what is shown to people
    "torch": ("worker/", "profiler/"),  # the models, and every engine that runs them
    "torchvision": ("worker/",),  # the registry of models, and the weights that are published for them
    "yaml": ("operator/", "profiler/"),  # manifests in, manifests out
}
# Nothing that `dueby plan` loads, directly or not, may import these at its top: it has half a second for everything.
PLAN_LOADS = ("dueby.command.main", "dueby.command.plan")
SLOW_TO_IMPORT = {
    *("aiohttp", "fsspec", "gcsfs", "kopf", "kubernetes", "matplotlib", "numpy", "openvino", "pandas", "PIL"),
    *(
        "prometheus_client",
        "psutil",
        "pyarrow",
        "s3fs",
        "safetensors",
        "simplejpeg",
        "sklearn",
        "tenacity",
        "torch",
        "torchvision",
    ),
}
# The planner computes; time, chance and the world are given to it.
NO_WORLD = {"asyncio", "http", "logging", "random", "shutil", "socket", "subprocess", "threading", "urllib"}

LONGEST_FILE = 400
LONGEST_FUNCTION = 60


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
        """dueby.planner.job."""
        return ".".join(Path(self.path).with_suffix("").parts[1:])

    @property
    def package(self) -> str:
        """planner, operator, command, ...: the first name below `dueby`."""
        return Path(self.path).parts[2]

    @cached_property
    def imports(self) -> tuple[Import, ...]:
        return tuple(_imports(self.tree, at_top=True))

    @property
    def own_imports(self) -> Iterator[tuple[str, str, Import]]:
        """Package and module of each import of ours: `dueby.planner.job` is planner, job."""
        for found in self.imports:
            namespace, _, rest = found.module.partition(".")
            if namespace == "dueby":
                package, _, module = rest.partition(".")
                yield package, module, found

    @property
    def foreign_imports(self) -> Iterator[tuple[str, Import]]:
        """Top-level name of each import that is neither ours nor Python's own."""
        for found in self.imports:
            name = found.module.partition(".")[0]
            if name != "dueby" and name not in sys.stdlib_module_names:
                yield name, found


def _imports(node: ast.AST, *, at_top: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(module=name.name, line=child.lineno, at_top=at_top) for name in child.names)
        elif isinstance(child, ast.ImportFrom):
            # `from dueby.planner import job` imports dueby.planner.job
            whole = "." * child.level + (child.module or "")
            named = [f"{whole}.{name.name}" for name in child.names] if whole in _NAMESPACES else [whole]
            yield from (Import(module=module, line=child.lineno, at_top=at_top) for module in named)
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _imports(child, at_top=False)
        else:
            yield from _imports(child, at_top=at_top and not _is_type_checking(child))


_NAMESPACES = {"dueby", *(f"dueby.{package}" for package in PACKAGES)}


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


Rule = Callable[[Module], Iterator[tuple[int, str]]]


def imports_run_one_way(module: Module) -> Iterator[tuple[int, str]]:
    for package, name, found in module.own_imports:
        if package not in MAY_IMPORT[module.package]:
            yield found.line, f"{module.package} may not import {package}"
        elif module.package == "worker" and package == "planner" and name.partition(".")[0] not in PLANNER_VALUES:
            yield found.line, f"the worker may import the planner's values only ({', '.join(sorted(PLANNER_VALUES))})"


def backends_are_apart(module: Module) -> Iterator[tuple[int, str]]:
    for here, other in (("local", "cluster"), ("cluster", "local")):
        if module.name.startswith(f"dueby.operator.{here}."):
            for found in module.imports:
                if found.module.startswith(f"dueby.operator.{other}"):
                    yield found.line, "one machine and the cluster share decide() and its view, and nothing else"


def imports_are_absolute(module: Module) -> Iterator[tuple[int, str]]:
    for found in module.imports:
        if found.module.startswith("."):
            yield found.line, "write the whole name of the module"


def the_planner_touches_nothing(module: Module) -> Iterator[tuple[int, str]]:
    if module.package == "planner":
        for found in module.imports:
            if found.module.partition(".")[0] in NO_WORLD:
                yield found.line, f"the planner is pure: {found.module} doesn't belong there"


def a_module_says_what_it_is_for(module: Module) -> Iterator[tuple[int, str]]:
    if not ast.get_docstring(module.tree):
        yield 1, "has no docstring"


def files_are_short(module: Module) -> Iterator[tuple[int, str]]:
    lines = module.source.count("\n")
    if lines > LONGEST_FILE:
        yield LONGEST_FILE, f"has {lines} lines, more than {LONGEST_FILE}: it holds more than one idea"


def functions_are_short(module: Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > LONGEST_FUNCTION:
                yield node.lineno, f"{node.name} has {lines} lines, more than {LONGEST_FUNCTION}"


RULES: tuple[Rule, ...] = (
    imports_run_one_way,
    backends_are_apart,
    imports_are_absolute,
    the_planner_touches_nothing,
    a_module_says_what_it_is_for,
    files_are_short,
    functions_are_short,
)


def broken(rule: Rule, modules: tuple[Module, ...]) -> list[str]:
    """What breaks the rule, as lines that an editor can jump to."""
    return [f"{module.path}:{line}: {sentence}" for module in modules for line, sentence in rule(module)]


def read_modules() -> tuple[Module, ...]:
    """Every file of the product."""
    files = sorted(file for root in SOURCE_ROOTS for file in (REPOSITORY / root / "dueby").rglob("*.py"))
    return tuple(Module(path=str(file.relative_to(REPOSITORY)), source=file.read_text()) for file in files)


MODULES = read_modules()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_module_keeps_the_rule(rule: Rule) -> None:
    breaks = broken(rule, MODULES)
    assert not breaks, "\n" + "\n".join(breaks)


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

    assert strays(modules("worker/dueby/worker/x.py", "worker/dueby/worker/y.py", source="import openvino as ov"))
    assert strays(modules("operator/dueby/command/x.py", source="def f():\n    import torch"))
    assert not strays(modules("worker/dueby/worker/x.py", "worker/dueby/worker/y.py", source="import torch, os"))


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
        waiting += [own.module for _, _, own in module.own_imports if own.at_top]
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
        Module(path="operator/dueby/command/x.py", source="from dueby.planner import y"),
        Module(path="planner/dueby/planner/y.py", source="try:\n    import numpy\nexcept ImportError:\n    pass"),
        Module(
            path="planner/dueby/planner/z.py", source="if TYPE_CHECKING:\n    import torch\ndef f():\n    import torch"
        ),
    )
    assert slow_imports(modules, start=("dueby.command.x",))
    assert not slow_imports(modules, start=("dueby.planner.z",))


def test_the_namespace_package_has_no_init_file() -> None:
    found = [str(file) for root in SOURCE_ROOTS for file in (REPOSITORY / root).rglob("__init__.py")]
    assert not found, f"{found}: an __init__.py would hide the packages of the other source roots"


@pytest.mark.parametrize(
    ("rule", "path", "source"),
    [
        pytest.param(
            imports_run_one_way,
            "planner/dueby/planner/x.py",
            "from dueby.worker import models",
            id="planner imports worker",
        ),
        pytest.param(
            imports_run_one_way,
            "worker/dueby/worker/x.py",
            "import dueby.planner.solver",
            id="worker imports the solver",
        ),
        pytest.param(
            imports_run_one_way,
            "worker/dueby/worker/x.py",
            "from dueby.planner import plan",
            id="worker imports plan from the package",
        ),
        pytest.param(
            imports_run_one_way,
            "operator/dueby/operator/x.py",
            "def f():\n    import dueby.command.run",
            id="operator imports command in a function",
        ),
        pytest.param(
            backends_are_apart,
            "operator/dueby/operator/local/x.py",
            "from dueby.operator.cluster.kube import Kube",
            id="one machine imports the cluster",
        ),
        pytest.param(imports_are_absolute, "planner/dueby/planner/x.py", "from . import job", id="relative import"),
        pytest.param(
            the_planner_touches_nothing,
            "planner/dueby/planner/x.py",
            "from urllib.request import urlopen",
            id="planner opens a URL",
        ),
        pytest.param(a_module_says_what_it_is_for, "planner/dueby/planner/x.py", "X = 1", id="no docstring"),
        pytest.param(files_are_short, "planner/dueby/planner/x.py", "\n" * 401, id="401 lines"),
        pytest.param(
            functions_are_short,
            "planner/dueby/planner/x.py",
            "def f():\n" + "    f()\n" * 60,
            id="61 lines of function",
        ),
    ],
)
def test_the_rule_notices(rule: Rule, path: str, source: str) -> None:
    assert broken(rule, (Module(path=path, source=source),))


def test_the_rules_allow_what_the_layout_says() -> None:
    allowed = (
        ("operator/dueby/command/x.py", "from dueby.profiler.sweep import sweep\nfrom dueby.operator import decide"),
        ("worker/dueby/worker/x.py", "from dueby.planner.job import Model\nimport torch"),
    )
    modules = tuple(Module(path=path, source=f'"""What for."""\n{source}') for path, source in allowed)
    assert not [line for rule in RULES for line in broken(rule, modules)]
