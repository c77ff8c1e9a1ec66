"""examples/notebook.ipynb, as Jupyter runs it: it measures this machine, plans, runs and reads the rows."""

import json
import shutil
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from support.source_tree import REPOSITORY

NOTEBOOK = REPOSITORY / "examples" / "notebook.ipynb"
# Alone it takes less than a minute; beside other tests several times as long.
CELL_TIMEOUT_S = 600


def printed(cell: Any) -> str:
    """What a cell has printed and returned, as text."""
    return "".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs)


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The notebook's cells of code after it was run, in a copy of its folder."""
    folder = tmp_path_factory.mktemp("notebook") / "examples"
    shutil.copytree(NOTEBOOK.parent, folder)
    notebook = nbformat.reads(NOTEBOOK.read_text(encoding="utf-8"), as_version=4)  # type: ignore[no-untyped-call]
    NotebookClient(notebook, timeout=CELL_TIMEOUT_S, resources={"metadata": {"path": str(folder)}}).execute()
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_the_notebook_classifies_every_photo_it_can(cells: list[Any]) -> None:
    results, errors, most_common = cells[-3:]
    assert printed(results).startswith("240 rows of 240 images, 2 of them with an error, in file://")
    assert "damaged-cut-off.jpg" in printed(errors)
    # Of the real photos this one is told best, and it is a sixth of them.
    assert "('espresso', " in printed(most_common)


def test_bars_end_in_a_line_that_stays(cells: list[Any]) -> None:
    displayed = [output for cell in cells for output in cell.outputs if output.output_type == "display_data"]
    measured, run = (output.data["text/html"] for output in displayed)
    assert measured.startswith("Written to ")
    assert run == "notebook: Succeeded, 240 of 240."


def test_what_it_returns_is_shown_as_pages(cells: list[Any]) -> None:
    shown = [
        output.data["text/html"]
        for cell in cells
        for output in cell.outputs
        if output.output_type == "execute_result" and "text/html" in output.data
    ]
    assert len(shown) == 4  # the profiles, the plan, the report and the rows
    assert all(page.startswith('<iframe sandbox="allow-same-origin" srcdoc=') for page in shown)


def test_no_output_is_stored_in_it() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]
