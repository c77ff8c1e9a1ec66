"""docs/library.md: its examples call each function with arguments that it has, and use what it returns."""

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import fields
from typing import get_type_hints

import pytest

import dueby
from support.source_tree import REPOSITORY

DOCUMENT = (REPOSITORY / "docs" / "library.md").read_text()
FUNCTIONS = ("profile", "plan", "curve", "run", "read", "submit", "wait")


def blocks() -> dict[str, ast.Module]:
    """The example of each function."""
    return {
        name: ast.parse(text)
        for name, text in re.findall(r"^## dueby\.(\w+)\n.*?^```python\n(.*?)^```", DOCUMENT, re.M | re.S)
    }


def calls(block: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(block):
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("dueby."):
            yield ast.unparse(node.func).removeprefix("dueby."), node


def test_each_function_has_an_example() -> None:
    assert tuple(blocks()) == FUNCTIONS


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_example_calls_its_function_with_arguments_that_it_has(name: str) -> None:
    found = list(calls(blocks()[name]))
    assert name in {called for called, _ in found}
    for called, node in found:
        named = {keyword.arg: None for keyword in node.keywords if keyword.arg}
        inspect.signature(getattr(dueby, called)).bind(*node.args, **named)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_example_uses_what_its_function_returns(name: str) -> None:
    block = blocks()[name]
    assignment = block.body[0]
    assert isinstance(assignment, ast.Assign)
    variable = ast.unparse(assignment.targets[0])
    kind = getattr(dueby, inspect.signature(getattr(dueby, name)).return_annotation.__name__)
    offered = {*dir(kind), *_fields(kind)}
    used = {
        node.attr for node in ast.walk(block) if isinstance(node, ast.Attribute) and ast.unparse(node.value) == variable
    }
    assert used <= offered
    assert used or name == "profile"  # of which the first one is used


def _fields(kind: type) -> set[str]:
    return {each.name for each in fields(kind)} if hasattr(kind, "__dataclass_fields__") else set(get_type_hints(kind))
