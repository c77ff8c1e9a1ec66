"""A bar in a notebook: it is replaced as the call goes on, and ends in a line."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from dueby.library.progress import Progress


@dataclass(frozen=True)
class At:
    """A view of jobs that are so far."""

    share_done: float
    lines: tuple[str, ...] = ("12/240 images",)


@dataclass
class Cell:
    """What a notebook shows below a cell, the newest last; it is its own handle, as IPython's display gives one."""

    shown: list[str] = field(default_factory=list)
    displays: int = 0

    def __call__(self, data: dict[str, str], *, raw: bool, display_id: bool) -> "Cell":
        assert raw
        assert display_id
        self.displays += 1
        self.update(data, raw=raw)
        return self

    def update(self, data: dict[str, str], *, raw: bool) -> None:
        self.shown.append(data["text/html"])


def test_one_place_of_the_cell_shows_the_bar_and_at_the_end_a_line() -> None:
    cell = Cell()
    with Progress(None, display=cell) as progress:
        progress.file.write("Measuring <this> machine\n")
        progress.show(At(0.05))
        progress._due_s = 0
        progress.show(At(0.5))
        progress.end("photos: Succeeded, 240 of 240.")
    assert cell.displays == 1
    assert cell.shown[0] == "Measuring &lt;this&gt; machine"
    assert [shown.count("<progress") for shown in cell.shown] == [0, *[1] * (len(cell.shown) - 2), 0]
    assert 'value="0.5000"' in cell.shown[-2]
    assert cell.shown[-1] == "photos: Succeeded, 240 of 240."


@pytest.mark.parametrize(
    ("error", "said"),
    [(KeyboardInterrupt(), "Interrupted. The same call continues."), (ValueError("x"), "Stopped.")],
    ids=["interrupted", "failed"],
)
def test_a_bar_does_not_stay_where_the_call_has_not_ended_well(error: BaseException, said: str) -> None:
    cell = Cell()

    def call() -> None:
        with Progress(None, display=cell) as progress:
            progress.show(At(0.5))
            raise error

    with pytest.raises(type(error)):
        call()
    assert cell.shown[-1] == said


@pytest.mark.parametrize("options", [{}, {"display": Cell()}], ids=["a script", "a notebook"])
def test_who_hears_the_lines_is_shown_no_bar(options: dict[str, Any]) -> None:
    told: list[str] = []
    with Progress(told.append, **options) as progress:
        progress.file.write("  12/240 images\n")
        progress.show(At(0.5))
    assert told == ["  12/240 images"]
    assert options.get("display", Cell()).shown == []
