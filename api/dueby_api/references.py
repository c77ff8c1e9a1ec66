"""References from the tables of this package to code of packages that it does not import."""

from importlib import import_module
from typing import Any


def resolve(reference: str) -> Any:
    """Return what `module:name` names, importing the module now: a table's entry costs nothing until it is used."""
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)
