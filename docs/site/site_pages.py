"""Which documents are pages of the site, under which names, with links that lead to the same things there.

Every document that docs/README.md leads to, directly or not, is a page. docs/README.md itself is the front page, and
its sections are the sections of the navigation, in its order and with its words. A link to code of which a page is made
(such as crds/inferencejobs.yaml) leads to that page; a link to another file leads to a copy of it; a link to a folder,
which a site can't show, becomes plain text.
"""

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

FRONT = PurePosixPath("docs/README.md")
# The text may go over several lines, and have code in it.
_LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")
_SECTION = re.compile(r"^## (.*)$", re.M)


@dataclass(frozen=True, kw_only=True)
class Pages:
    """The documents below `root`; `made` has the pages that are made from code, by the path of that code."""

    root: Path
    made: Mapping[str, str]

    def write(self, folder: Path) -> None:
        """Write all pages and the files that they show or link to."""
        for path in self.documents():
            page = folder / page_name(path)
            page.parent.mkdir(parents=True, exist_ok=True)
            text = (self.root / path).read_text()
            page.write_text(self.on_site(text, path) + (self.navigation(text) if path == FRONT else ""))
            for target in {self.target(path, link) for _, link in _LINK.findall(text)} - {None}:
                if target and self.is_copied(target):
                    copy = folder / "files" / target
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(self.root / target, copy)

    def documents(self) -> list[PurePosixPath]:
        """Return the documents that are pages, in the order in which the front page leads to them."""
        found = [FRONT]
        for path in found:  # grows meanwhile
            for _, link in _LINK.findall((self.root / path).read_text()):
                target = self.target(path, link)
                if target and target.suffix == ".md" and target not in found:
                    found.append(target)
        return found

    def target(self, page: PurePosixPath, link: str) -> PurePosixPath | None:
        """Return the path in the repository that a document's link leads to; None if it leads out of it."""
        path = link.partition("#")[0]
        if not path or ":" in path:
            return None
        return PurePosixPath(os.path.normpath(page.parent / path))

    def is_copied(self, target: PurePosixPath) -> bool:
        """Return whether what a link leads to is a file that is no page."""
        return target.suffix != ".md" and str(target) not in self.made and (self.root / target).is_file()

    def on_site(self, text: str, path: PurePosixPath) -> str:
        """Return the document's text with links as the site needs them."""

        def renew(found: re.Match[str]) -> str:
            words, link = found.groups()
            target = self.target(path, link)
            if target is None:
                return found[0]
            name = self.name_on_site(target)
            if name is None:
                return str(words)
            _, sign, heading = link.partition("#")
            return f"[{words}]({_between(page_name(path), name)}{sign}{heading})"

        return _LINK.sub(renew, text)

    def name_on_site(self, target: PurePosixPath) -> str | None:
        """Return where the site has what lies at a path of the repository; None if it hasn't."""
        if str(target) in self.made:
            return self.made[str(target)]
        if target.suffix == ".md":
            return page_name(target)
        return f"files/{target}" if self.is_copied(target) else None

    def navigation(self, front: str) -> str:
        """Return Sphinx's tables of contents: one for each section of the front page, of the pages that it names."""
        _, *sections = _SECTION.split(front)
        head = front[: front.index("\n## ")]
        listed = set[str]()
        tables = []
        for caption, text in [("", head), *zip(sections[::2], sections[1::2], strict=True)]:
            entries = [f"{words} <{name}>" for words, name in self._linked(text, listed)]
            if entries:
                options = ":hidden:\n" + (f":caption: {caption}\n" if caption else "")
                tables.append("\n```{toctree}\n" + options + "\n" + "\n".join(entries) + "\n```\n")
        return "".join(tables)

    def _linked(self, text: str, listed: set[str]) -> Iterator[tuple[str, str]]:
        """Yield the pages that a text links to as a whole, with the link's words, but for those in `listed`."""
        for words, link in _LINK.findall(text):
            target = self.target(FRONT, link)
            name = self.name_on_site(target) if target and "#" not in link else None
            if name and name.endswith(".md") and name not in listed:
                listed.add(name)
                title = " ".join(words.split())
                yield title[0].upper() + title[1:], f"/{name}"


def page_name(path: PurePosixPath) -> str:
    """Return a document's name on the site: docs/formats.md is formats.md, charts/dueby/README.md charts/dueby.md."""
    if path == FRONT:
        return "index.md"
    if path == PurePosixPath("README.md"):
        return "overview.md"
    short = path.parent.with_suffix(".md") if path.name == "README.md" else path
    return str(short).removeprefix("docs/").lower()


def _between(page: str, name: str) -> str:
    return os.path.relpath(name, PurePosixPath(page).parent)
