"""An HTML document around a page's body: self-contained, in light and dark, asking nothing of anybody."""

from importlib.resources import files

from dueby.report.html import Markup, tag


def document(title: str, body: Markup) -> str:
    """The whole text."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{title} · DueBy"),
        tag("style", Markup(files("dueby.report").joinpath("style.css").read_text(encoding="utf-8"))),
        # Without an icon of its own the browser would ask the server for one.
        tag("link", rel="icon", href="data:,"),
    )
    return "<!doctype html>\n" + tag("html", head, tag("body", body), lang="en") + "\n"
