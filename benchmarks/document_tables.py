"""Tables of a benchmark's results in a document, between two lines with the benchmark's name."""

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def marks(name: str) -> tuple[str, str]:
    """The lines between which a document has the benchmark's tables."""
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"


def put_into(document: str, tables: str, *, name: str) -> str:
    """The document with these tables between its marks."""
    begin_mark, end_mark = marks(name)
    before, begin, rest = document.partition(begin_mark)
    _, end, after = rest.partition(end_mark)
    if not (begin and end):
        raise SystemExit(
            f"{name}: the document has no lines {begin_mark} and {end_mark}, between which the tables belong"
        )
    return f"{before}{begin}\n\n{tables}\n\n{end}{after}"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Let a benchmark show the tables of a run that was made before."""
    parser.add_argument("--table", type=Path, metavar="RESULTS", help="print the tables of a run's results, and end")
    parser.add_argument("--into", type=Path, metavar="DOCUMENT", help="with --table: put them into this document, too")


def show(options: argparse.Namespace, markdown: Callable[[Mapping[str, Any]], str], *, name: str) -> None:
    """Print the tables of the results that `--table` names, and put them where `--into` says."""
    tables = markdown(json.loads(options.table.read_text()))
    print(tables)
    if options.into:
        options.into.write_text(put_into(options.into.read_text(), tables, name=name))


def say(found: Mapping[str, float] | None, form: str) -> str:
    """Median, and least to most."""
    if not found:
        return ""
    if found["min"] == found["max"]:
        return f"{found['median']:{form}}"
    return f"{found['median']:{form}} ({found['min']:{form}}-{found['max']:{form}})"
