"""CONTRIBUTING's limits as a test: files and functions are short, import little, and say what they are for."""

import ast
from collections import Counter
from collections.abc import Iterator
from statistics import median

import pytest

from support.source_modules import MODULES, Module, Rule, broken, read_modules
from support.source_tree import PACKAGES, REPOSITORY

# CONTRIBUTING's limits.
MAX_FILE = 500
# Modules of ours that one file imports.
MAX_IMPORTS = 20
# Files that import more still. They are to be divided; none is added.
MANY_IMPORTS = {
    "dueby/runs/session.py",
    "dueby/local/running_job.py",
    "dueby/local/steps.py",
    "operator/dueby_operator/control/job_decision.py",
    "operator/dueby_operator/gathering/gather.py",
    "operator/dueby_operator/passes/reconciler.py",
    "profiler/dueby_profiler/profiling.py",
    "study/dueby_study/make.py",
    "worker/dueby_worker/steps/worker_run.py",
}
# What a name should not be where the thing has one of its own, such as profile, pods or requests.
VAGUE_NAMES = ("found", "there", "each", "left", "known", "given", "made", "taken", "asked", "own")
# The share of them among all names that are bound.
MAX_VAGUE = 0.02
# 9 of 10 functions keep the usual limit, and none may be longer than the other.
MAX_USUAL_FUNCTION = 35
MAX_FUNCTION = 60
MAX_MEDIAN_FUNCTION = 9


def a_module_says_what_it_is_for(module: Module) -> Iterator[tuple[int, str]]:
    if not ast.get_docstring(module.tree):
        yield 1, "has no docstring"


def files_are_short(module: Module) -> Iterator[tuple[int, str]]:
    lines = module.source.count("\n")
    if lines > MAX_FILE:
        yield MAX_FILE, f"has {lines} lines, more than {MAX_FILE}: it holds more than one idea"


def files_import_little(module: Module) -> Iterator[tuple[int, str]]:
    imported = {found.module for found in module.own_imports}
    if len(imported) > MAX_IMPORTS and module.path not in MANY_IMPORTS:
        yield 1, f"imports {len(imported)} modules of ours, more than {MAX_IMPORTS}: it does more than one thing"


def functions_are_short(module: Module) -> Iterator[tuple[int, str]]:
    for node, lines in _functions(module):
        if lines > MAX_FUNCTION:
            yield node.lineno, f"{node.name} has {lines} lines, more than {MAX_FUNCTION}"


def _functions(module: Module) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, int]]:
    """Each function of the module with its number of lines."""
    for node in module.nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node, (node.end_lineno or node.lineno) - node.lineno + 1


OF_EVERY_FILE: tuple[Rule, ...] = (a_module_says_what_it_is_for, files_are_short, functions_are_short)
RULES: tuple[Rule, ...] = (*OF_EVERY_FILE, files_import_little)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_module_keeps_the_rule(rule: Rule) -> None:
    breaks = broken(rule, MODULES)
    assert not breaks, "\n" + "\n".join(breaks)


@pytest.mark.parametrize("folder", ["tests", "benchmarks"])
@pytest.mark.parametrize("rule", OF_EVERY_FILE, ids=lambda rule: rule.__name__)
def test_files_beside_the_product_keep_the_rule_too(folder: str, rule: Rule) -> None:
    modules = read_modules(REPOSITORY / folder)
    assert modules
    breaks = broken(rule, modules)
    assert not breaks, "\n" + "\n".join(breaks)


@pytest.mark.parametrize("package", PACKAGES)
def test_nine_of_ten_functions_are_as_short_as_contributing_asks(package: str) -> None:
    lengths = [lines for module in MODULES if module.package == package for _, lines in _functions(module)]
    assert sum(lines <= MAX_USUAL_FUNCTION for lines in lengths) >= 0.9 * len(lengths)


def test_the_median_function_is_as_short_as_contributing_asks() -> None:
    assert median(lines for module in MODULES for _, lines in _functions(module)) <= MAX_MEDIAN_FUNCTION


@pytest.mark.parametrize(
    ("rule", "path", "source"),
    [
        pytest.param(a_module_says_what_it_is_for, "planner/dueby_planner/x.py", "X = 1", id="no docstring"),
        pytest.param(files_are_short, "planner/dueby_planner/x.py", "\n" * 501, id="501 lines"),
        pytest.param(
            files_import_little,
            "planner/dueby_planner/x.py",
            "".join(f"import dueby_api.x{number}\n" for number in range(21)),
            id="21 imports",
        ),
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


def test_the_rules_allow_a_short_module_that_says_what_it_is_for() -> None:
    module = Module(path="dueby/cli/x.py", source='"""What for."""\nfrom dueby_operator.control import decide')
    assert not [line for rule in RULES for line in broken(rule, (module,))]


def shared_names(modules: tuple[Module, ...]) -> set[str]:
    """Return the names that more than one class has."""
    classes = [node.name for module in modules for node in module.nodes if isinstance(node, ast.ClassDef)]
    return {name for name, count in Counter(classes).items() if count > 1}


def test_a_name_is_one_class() -> None:
    assert not shared_names(MODULES)


def test_a_name_of_two_classes_is_noticed() -> None:
    one, two = (Module(path=f"dueby/{name}.py", source="class Room:\n    pass") for name in ("one", "two"))
    assert shared_names((one, two)) == {"Room"}


def bindings(module: Module) -> Iterator[str]:
    """Yield the name of each variable and parameter, as often as it is bound."""
    for node in module.nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg


def vague_share(modules: tuple[Module, ...]) -> float:
    """Return the share of bindings whose name doesn't say what is bound."""
    names = Counter(name for module in modules for name in bindings(module))
    return sum(names[name] for name in VAGUE_NAMES) / max(1, names.total())


def test_names_are_nouns_of_the_field() -> None:
    vague = [f"{name} ({module.path})" for module in MODULES for name in bindings(module) if name in VAGUE_NAMES]
    assert vague_share(MODULES) < MAX_VAGUE, "\n" + "\n".join(vague)


def test_a_vague_name_is_noticed() -> None:
    source = "found = [each for each in given]\ndef f(known, profiles):\n    return (left := known)"
    assert vague_share((Module(path="dueby/x.py", source=source),)) == 4 / 5


def test_exceptions_are_forgotten_once_they_keep_the_limit() -> None:
    many = {module.path for module in MODULES if len({found.module for found in module.own_imports}) > MAX_IMPORTS}
    assert many >= MANY_IMPORTS
