"""What a notebook shows, in a real browser: each cell is as high as its page, whatever is unfolded in it."""

from dataclasses import replace
from pathlib import Path

import pytest

import dueby
from support.browser import Browser
from support.processes import wait_for
from support.report import small_run, write_sink

pytestmark = pytest.mark.browser

FRAME = "document.querySelector('iframe')"
# Notebooks put what a cell has returned into their page like this.
SHOW = """
new Promise(shown => {{
    document.body.innerHTML = {html!r};
    {frame}.addEventListener('load', shown);
}})
"""
HEIGHTS = f"[{FRAME}.clientHeight, {FRAME}.contentDocument.documentElement.offsetHeight]"


def is_settled(browser: Browser) -> bool:
    """Whether the frame is as high as the page in it."""
    shown, page = browser.ask(HEIGHTS)
    return bool(shown == page)


@pytest.mark.parametrize("rows", [3, 4000])
def test_a_cell_is_as_high_as_its_page(browser: Browser, tmp_path: Path, rows: int) -> None:
    blank = tmp_path / "notebook.html"
    blank.write_text("<meta charset=utf-8><body></body>")
    sample = replace(small_run(), failed={7: "It is empty."})
    found = dueby.read(write_sink(tmp_path / "sink", sample), columns=["uri"])
    for width in (1300, 400):
        browser.open(blank, width=width)
        browser.ask(SHOW.format(html=found._repr_html_(), frame=FRAME))
        # A browser that has little of a core draws its next frame, before which it measures, when it gets to it.
        wait_for(lambda: is_settled(browser), f"the cell is as high as its page at {width} px")
        browser.ask(f"{FRAME}.contentDocument.querySelector('main').append('x')")
    assert browser.complaints == []
