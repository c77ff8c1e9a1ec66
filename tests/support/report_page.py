"""Reports of sample runs as pages, and what a reader or a parser finds on them."""

import json
import re
from html import unescape
from html.parser import HTMLParser
from typing import Protocol

from dueby.report.page import Report, render_page
from dueby.report.run import Run, parse_run
from support.report import RUN
from support.simulation import SampleRun

VOID = {"img", "link", "meta"}


def files_of(sample: SampleRun, *, without: tuple[str, ...] = ()) -> dict[str, bytes]:
    """JSON is YAML too."""
    return {name: json.dumps(document).encode() for name, document in sample.files.items() if name not in without}


def run_of(sample: SampleRun, *, without: tuple[str, ...] = ()) -> Run:
    return parse_run(RUN, files_of(sample, without=without))


def page_of(run: Run) -> str:
    return render_page(Report(sink="file:///results", run=run, parts=4, failed=(), photos=()))


def words_of(page: str) -> str:
    """What a reader sees, in one line."""
    words = unescape(re.sub(r"<[^>]+>", " ", page.split("</head>")[1]))
    return re.sub(r"\s+", " ", words.replace("\u00a0", " "))


class Shown(Protocol):
    """What a notebook shows as HTML."""

    def _repr_html_(self) -> str | None: ...


def framed_page(shown: Shown) -> str:
    """The page in the frame as which a notebook shows it; the frame lets no script run."""
    frame = shown._repr_html_() or ""
    found = re.fullmatch(r'<iframe sandbox="allow-same-origin" srcdoc="([^"]*)"( \w+="[^"<>]*"){2}></iframe>', frame)
    assert found
    return unescape(found[1])


class Elements(HTMLParser):
    """Every element of a page; ValueError where they don't nest."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        if self._open:
            raise ValueError(f"{self._open} are not closed")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            raise ValueError(f"</{tag}> closes something else")
