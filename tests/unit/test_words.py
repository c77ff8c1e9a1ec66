"""Sentences in code count through dueby_api/words.py, so that none says "1 devices", or "-1m01s" for "1m01s ago".

And all text keeps to words that are known in everybody's third language.
"""

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from support.source_tree import PACKAGES, REPOSITORY

# What DueBy counts, in the plural.
NOUNS = (
    "devices|workers|images|parts|pods|jobs|nodes|rows|steps|slices|classes|profiles|processes|cores|samples|slots|GPUs|"
    "bytes|lines|outputs|rounds|files|points|attempts|measurements"
)
_COUNTS = re.compile(rf"(?: more| other)? ({NOUNS})\b(?!/)")
# Where a number can't be 1, or stands in a technical error or in a column that has no room for words.
EXCUSED = {
    "packed_profile.py",
    "step_config.py",
    "verify.py",
    "plan.py",
    "files.py",
    "store.py",
    "pages",
    "figures",
    "charts",
    "warmup",
}


def sentences(path: Path) -> Iterator[tuple[int, str]]:
    """Yield where a number is followed by a plural in an f-string, with the plural."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.JoinedStr):
            continue
        for value, after in pairwise(node.values):
            if not (isinstance(value, ast.FormattedValue) and isinstance(after, ast.Constant)):
                continue
            # A constant is known to be more than one, and a fraction is no count.
            is_constant = isinstance(value.value, ast.Name) and value.value.id.isupper()
            is_fraction = value.format_spec is not None and ast.unparse(value.format_spec).endswith(("f'", 'f"'))
            if (found := _COUNTS.match(str(after.value))) and not (is_constant or is_fraction):
                yield node.lineno, found[1]


def signed(path: Path) -> Iterator[tuple[int, str]]:
    """Yield where a difference of two times, which may be negative, is a duration inside a sentence."""
    for text in ast.walk(ast.parse(path.read_text())):
        for node in ast.walk(text) if isinstance(text, ast.JoinedStr) else ():
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == "format_duration"
                and any(isinstance(argument, ast.BinOp) for argument in node.args)
                and any(isinstance(found, ast.Sub) for found in ast.walk(node))
            ):
                yield node.lineno, "format_duration of a difference"


@pytest.mark.parametrize("package", PACKAGES)
def test_a_sentence_counts_with_words(package: str) -> None:
    root = REPOSITORY / PACKAGES[package]
    found = [
        f"{path.relative_to(root)}:{line}: {what}"
        for path in sorted(root.rglob("*.py"))
        if not EXCUSED & set(path.relative_to(root).parts)
        for line, what in (*sentences(path), *signed(path))
    ]
    assert not found


def test_the_search_finds_what_it_looks_for(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        'a = f"{count:,} devices are free"\nb = f"in {format_duration(end_us - now_us)}"\nc = f"{MOST} workers"\n'
        'd = f"{rate} images/s"\n'
    )
    assert [line for line, _ in (*sentences(module), *signed(module))] == [1, 2]


# What nobody has to look up instead: again, fix or repair, watch, permanently, report, tolerate.
RARE = re.compile(r"(?<![a-z])(anew|mend(?:s|ed|ing)?|attends? to|for good|told of|bears?)(?![a-z])", re.I)
FOLDERS = PACKAGES | {name: REPOSITORY / name for name in ("benchmarks", "charts", "crds", "docs", "examples", "tests")}
TEXTS = ("*.md", "*.py", "*.yaml", "*.j2", "Makefile")


@pytest.mark.parametrize("folder", [*FOLDERS, "the top"])
def test_words_are_known_in_a_third_language(folder: str) -> None:
    find = FOLDERS[folder].rglob if folder in FOLDERS else REPOSITORY.glob
    paths = {path for text in TEXTS for path in find(text)} - {Path(__file__)}
    found = [
        f"{path.relative_to(REPOSITORY)}:{number}: {match[0]}"
        for path in sorted(paths)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        for match in RARE.finditer(line)
    ]
    assert not found
