"""The table of engines and the modules that it names agree: signatures, devices, precisions, packages."""

import ast
import inspect
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest
import torch

from dueby_api.engines import ENGINES, EngineEntry, Precision
from dueby_worker.engines.interface import EngineModule

# What a worker has whatever its engine.
PYTORCH = {"numpy", "torch", "torchvision"}
each_entry = pytest.mark.parametrize("entry", ENGINES.values(), ids=lambda entry: entry.name)


def module_of(entry: EngineEntry) -> ModuleType:
    return import_module(entry.module)


def foreign_packages(module: ModuleType) -> set[str]:
    """Packages that the module, and those that keep its networks, import, at the top or in a function.

    Python's own and ours are left out.
    """
    assert module.__file__
    packages, path = set[str](), Path(module.__file__)
    sources = [path, *(path.with_stem(f"{path.stem}_{kind}") for kind in ("files", "network"))]
    for node in (node for file in sources if file.exists() for node in ast.walk(ast.parse(file.read_text()))):
        names = [name.name for name in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        packages |= {name.partition(".")[0] for name in names}
    return {name for name in packages - sys.stdlib_module_names if not name.startswith("dueby")}


def described(parameter: inspect.Parameter) -> tuple[str, object, object, str]:
    """Name, kind, default and type. Modules that do without torch name the model's class and don't import it."""
    hint = parameter.annotation
    name = hint if isinstance(hint, str) else getattr(hint, "__name__", str(hint))
    return parameter.name, parameter.kind, parameter.default, name


@each_entry
@pytest.mark.parametrize("function", ["find_obstacle", "build"])
def test_a_module_has_the_functions_of_an_engine_with_exactly_their_parameters(
    entry: EngineEntry, function: str
) -> None:
    expected = list(inspect.signature(getattr(EngineModule, function)).parameters.values())[1:]  # without self

    found = list(inspect.signature(getattr(module_of(entry), function)).parameters.values())

    assert list(map(described, found)) == list(map(described, expected))


@each_entry
def test_an_engine_has_a_module_of_its_own(entry: EngineEntry) -> None:
    assert [other.name for other in ENGINES.values() if other.module == entry.module] == [entry.name]


@each_entry
def test_the_packages_of_an_entry_are_those_that_its_module_imports_besides_pytorch(entry: EngineEntry) -> None:
    assert foreign_packages(module_of(entry)) - PYTORCH == set(entry.packages)


@each_entry
@pytest.mark.parametrize("precision", get_args(Precision))
def test_a_precision_that_is_not_in_the_table_is_refused_everywhere(entry: EngineEntry, precision: Precision) -> None:
    if precision not in entry.precisions:
        assert module_of(entry).find_obstacle(precision)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
@each_entry
def test_engines_for_gpus_and_no_others_are_refused_for_want_of_a_gpu(entry: EngineEntry) -> None:
    obstacle = module_of(entry).find_obstacle("fp32")

    assert ("no NVIDIA GPU" in (obstacle or "")) == (entry.device == "gpu")
