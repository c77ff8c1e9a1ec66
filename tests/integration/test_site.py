"""The documents as a site: it builds without a warning and without a network, and every link and anchor is there."""

from pathlib import Path

import pytest

from support.browser import Browser
from support.page_checks import CONTRAST
from support.site import Page, broken_links, build_site

# The front page, long code, a guide, a reference with long names, wide tables, usages, and the longest page.
LOOKED_AT = (
    *("index", "overview", "deadline-classes", "reference/inferencejob", "conditions", "reference/command"),
    "benchmarks",
)
# A desk with the page's contents beside it, and without; a telephone, and a small one. Then whether it is dark.
SCREENS = ((1330, False), (1280, True), (400, False), (320, True))


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_site(tmp_path_factory.mktemp("site")).resolve()


@pytest.fixture(scope="module")
def pages(html: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in html.rglob("*.html")}


def test_every_link_and_anchor_of_the_site_is_there(pages: dict[Path, Page]) -> None:
    assert len(pages) > 40
    assert list(broken_links(pages)) == []


def test_a_page_has_each_anchor_once(pages: dict[Path, Page]) -> None:
    twice = {path.name: [a for a in set(page.anchors) if page.anchors.count(a) > 1] for path, page in pages.items()}
    assert {name: anchors for name, anchors in twice.items() if anchors} == {}


def test_nothing_is_loaded_from_elsewhere(html: Path, pages: dict[Path, Page]) -> None:
    assert [uri for page in pages.values() for uri in page.loaded if "//" in uri] == []
    styles = list(html.rglob("*.css"))
    assert styles
    assert [path.name for path in styles if "url(http" in path.read_text() or "@import" in path.read_text()] == []


def test_a_link_that_leads_nowhere_is_noticed(tmp_path: Path) -> None:
    for name, text in {
        "a": '<p id="x"><a href="b.html#y">1</a><a href="b.html#z">2</a><a href="c.html">3</a><a href="#x">4</a>',
        "b": '<p id="y"><img src="no.png"><a href="https://nowhere">5</a><a href="https://example.org">6</a>',
    }.items():
        (tmp_path / f"{name}.html").write_text(text)
    found = broken_links({path: Page(path) for path in sorted(tmp_path.glob("*.html"))})
    assert list(found) == ["a.html: b.html#z", "a.html: c.html", "b.html: https://nowhere", "b.html: no.png"]


@pytest.mark.browser
@pytest.mark.parametrize("name", LOOKED_AT)
def test_a_page_is_readable_at_every_width_and_in_the_dark(browser: Browser, html: Path, name: str) -> None:
    for width, dark in SCREENS:
        browser.open(html / f"{name}.html", width=width, dark=dark)
        assert browser.ask("document.documentElement.scrollWidth") <= width, f"too wide at {width} px"
        for words in ("article p", "article code", "article a"):
            if browser.ask(f"document.querySelector('{words}') !== null"):
                assert browser.ask(CONTRAST % words) >= 4.5, f"{words} at {width} px"
        assert browser.complaints == []
        assert [uri for uri in browser.requests if not uri.startswith(("file:", "data:"))] == []
