"""The site of the documents as a test sees it: built once, and its pages with their anchors, links and resources."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from support.source_tree import REPOSITORY

# What a browser loads by itself.
_LOADS = {("link", "href"), ("script", "src"), ("img", "src"), ("source", "srcset"), ("iframe", "src")}


def build_site(folder: Path) -> Path:
    """Make the site in the folder; return the folder of its pages. What Sphinx warns of is an error."""
    command = [sys.executable, str(REPOSITORY / "docs" / "site" / "make_site.py"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return folder / "html"


@dataclass
class Page(HTMLParser):
    """A page of the site."""

    path: Path
    anchors: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.anchors.append(value)
            elif (tag, name) in _LOADS and value is not None:
                self.loaded.append(value)
            elif tag == "a" and name == "href" and value is not None:
                self.links.append(value)


def broken_links(pages: dict[Path, Page]) -> Iterator[str]:
    """Yield links and resources that lead nowhere; those to other sites are looked at for their form only."""
    for page in pages.values():
        for link in [*page.links, *page.loaded]:
            parts = urlsplit(link)
            if parts.scheme in ("http", "https"):
                is_right = "." in (parts.hostname or "") and " " not in link
            elif parts.scheme:
                is_right = parts.scheme in ("mailto", "data")
            else:
                target = (page.path.parent / unquote(parts.path)).resolve() if parts.path else page.path
                is_right = target.is_file() and _has_anchor(pages.get(target), parts.fragment)
            if not is_right:
                yield f"{page.path.name}: {link}"


def _has_anchor(page: Page | None, anchor: str) -> bool:
    # An empty one is the page's top, and files that are no pages have none.
    return not anchor or (page is not None and unquote(anchor) in page.anchors)
