"""How documents become pages of the site: their names, their links, and the navigation."""

from pathlib import Path, PurePosixPath

import pytest

from site_pages import Pages, page_name

FRONT = """# Documents

The [overview](../README.md) says what it is.

## Guides

- [Read files](formats.md), or [the install](../README.md#install)
- [The
schema](../crds/jobs.yaml)
"""
FILES = {
    "docs/README.md": FRONT,
    "README.md": "[files](docs/formats.md#faulty) [all](examples) [licence](LICENSE) [site](https://example.org/a)",
    "docs/formats.md": "[up](../README.md) [chart](../charts/x/README.md) [schema](../crds/jobs.yaml) [here](#faulty)",
    "charts/x/README.md": "![a picture](../../docs/figures/x.png)",
    "docs/figures/x.png": "",
    "docs/nobody-links-here.md": "",
    "crds/jobs.yaml": "",
    "examples/a.yaml": "",
    "LICENSE": "",
}


@pytest.fixture
def pages(tmp_path: Path) -> Pages:
    for name, text in FILES.items():
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_text(text)
    return Pages(root=tmp_path / "tree", made={"crds/jobs.yaml": "reference/job.md"})


@pytest.mark.parametrize(
    ("document", "name"),
    [
        ("docs/README.md", "index.md"),
        ("README.md", "overview.md"),
        ("CHANGELOG.md", "changelog.md"),
        ("docs/decisions/0001-dependencies.md", "decisions/0001-dependencies.md"),
        ("charts/dueby/README.md", "charts/dueby.md"),
    ],
)
def test_a_document_has_a_short_name(document: str, name: str) -> None:
    assert page_name(PurePosixPath(document)) == name


def test_every_document_that_the_front_page_leads_to_is_a_page(pages: Pages, tmp_path: Path) -> None:
    pages.write(tmp_path / "site")
    written = {str(path.relative_to(tmp_path / "site")) for path in (tmp_path / "site").rglob("*.*")}
    assert written == {"index.md", "overview.md", "formats.md", "charts/x.md", "files/docs/figures/x.png"}
    assert (tmp_path / "site" / "files" / "LICENSE").exists()


@pytest.mark.parametrize(
    ("document", "text"),
    [
        pytest.param(
            "README.md",
            "[files](formats.md#faulty) all [licence](files/LICENSE) [site](https://example.org/a)",
            id="headings, folders, files, other sites",
        ),
        pytest.param(
            "docs/formats.md",
            "[up](overview.md) [chart](charts/x.md) [schema](reference/job.md) [here](#faulty)",
            id="pages above, pages made from code, headings of the same page",
        ),
        pytest.param("charts/x/README.md", "![a picture](../files/docs/figures/x.png)", id="a picture, from below"),
    ],
)
def test_links_lead_to_the_same_things(pages: Pages, document: str, text: str) -> None:
    assert pages.on_site(FILES[document], PurePosixPath(document)) == text


def test_the_front_pages_sections_are_the_navigation(pages: Pages) -> None:
    assert pages.navigation(FRONT) == (
        "\n```{toctree}\n:hidden:\n\nOverview </overview.md>\n```\n"
        "\n```{toctree}\n:hidden:\n:caption: Guides\n\n"
        "Read files </formats.md>\nThe schema </reference/job.md>\n```\n"
    )
