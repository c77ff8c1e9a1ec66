"""The product's files as modules with their imports, and rules that they keep."""

import ast
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from support.source_tree import PACKAGES, REPOSITORY


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

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """What the tree consists of."""
        return tuple(ast.walk(self.tree))

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


def broken(rule: Rule, modules: tuple[Module, ...]) -> list[str]:
    """What breaks the rule, as lines that an editor can jump to."""
    return [f"{module.path}:{line}: {sentence}" for module in modules for line, sentence in rule(module)]


@cache
def read_modules(*folders: Path) -> tuple[Module, ...]:
    """Every file in these folders."""
    files = sorted(file for folder in folders for file in folder.rglob("*.py"))
    return tuple(Module(path=str(file.relative_to(REPOSITORY)), source=file.read_text()) for file in files)


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


# Every file of the product.
MODULES = read_modules(*PACKAGES.values())
