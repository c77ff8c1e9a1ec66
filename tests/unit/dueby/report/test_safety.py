"""What must never be on a report's page: other people's markup, requests, secrets and credentials."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jinja2 import UndefinedError

from dueby.cli.main import main
from dueby_api.untrusted import without_credentials
from dueby_pages.charts.svg import Markup, element
from dueby_pages.templating import render
from support.report import edit, write_sink
from support.report_page import Elements, page_of, run_of
from support.simulation import SampleRun
from support.source_tree import PACKAGES

HOSTILE = "<script>alert(1)</script>\"'><img src=http://evil.example/x onerror=alert(2)></td></svg>\u202e\x07"
# Words of a fixed vocabulary: others in their place make a document unreadable, or are another state of a worker.
KNOWN_WORDS = ("Started", "Succeeded", "running", "done", "openvino", "fp32")


def hostile_run(small: SampleRun) -> SampleRun:
    """Hostile words wherever the run's files can carry some, and in the rows."""

    def poison(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: poison(item) for key, item in value.items()}
        if isinstance(value, list):
            return [poison(item) for item in value]
        return HOSTILE + value if isinstance(value, str) and value not in KNOWN_WORDS else value

    poisoned = {name: poison(document) for name, document in small.files.items() if name != "job.yaml"}
    poisoned["summary.json"]["model"] = {"name": HOSTILE[:63], "weights": HOSTILE}
    poisoned["summary.json"]["software"] = {HOSTILE: HOSTILE}
    poisoned["progress.json"]["workers"] = {HOSTILE: poisoned["progress.json"]["workers"]["w0"]}
    return replace(small, files={**small.files, **poisoned}, failed={5: "gone"}, hostile=HOSTILE)


def test_hostile_words_stay_words(small: SampleRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sample = edit(hostile_run(small), "summary.json", imagesFailed=1)
    assert not run_of(sample).notes  # each document is shown
    assert main(["report", str(write_sink(tmp_path / "sink", sample))]) == 0
    page = Path(capsys.readouterr().out.strip()).read_text()
    elements = Elements(page).found
    assert not {name for name, _ in elements} & {"script", "iframe", "object", "base"}
    assert not [name for name, attributes in elements for key in attributes if key.startswith("on")]
    assert not set("\u202e\x07") & set(page)
    assert page.count("&lt;script&gt;") > 50


def test_the_page_asks_nothing_of_anybody(
    catalog: SampleRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(write_sink(tmp_path / "sink", catalog))]) == 0
    page = Path(capsys.readouterr().out.strip()).read_text()
    addresses = [
        attributes[key] or "" for _, attributes in Elements(page).found for key in ("src", "href") if key in attributes
    ]
    assert len(addresses) > 20
    assert all(address.startswith("data:") for address in addresses)
    assert not re.search(r"@import|url\(", page)


def test_secrets_of_the_manifest_stay_out(small: SampleRun) -> None:
    assert "a-secret-that-no-page-shows" in json.dumps(small.files["job.yaml"])
    assert "a-secret-that-no-page-shows" not in page_of(run_of(small))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://bucket/a b.jpg", "s3://bucket/a b.jpg"),
        ("https://host/a.jpg?X-Amz-Signature=abc&b=c", "https://host/a.jpg?…"),
        ("https://user:pass@host/a.jpg", "https://…@host/a.jpg"),
        ("404 for https://u@host/a?k=v, twice", "404 for https://…@host/a?… twice"),
        ("file:///what?/is this.jpg", "file:///what?/is this.jpg"),
        ("someone@example.org", "someone@example.org"),
    ],
)
def test_credentials_are_not_passed_on(text: str, shown: str) -> None:
    assert without_credentials(text) == shown


def test_templates_escape_everything_but_the_style_sheet() -> None:
    templates = {file.name: file.read_text() for root in PACKAGES.values() for file in root.rglob("*.j2")}
    exceptions = [
        (name, found)
        for name, text in templates.items()
        for found in re.findall(r"\{[{%][^}]*\b(?:safe|autoescape)\b[^}]*\}+", text)
    ]
    assert len(templates) > 5
    assert exceptions == [("document.html.j2", "{{ style | safe }}")]


def test_a_template_that_asks_for_a_value_it_was_not_given_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="'headline' is undefined"):
        render("headline.html.j2", package="dueby.report")


def test_an_element_escapes_texts_and_attributes_but_not_markup() -> None:
    made = element("p", "<b>&\a", Markup("<i></i>"), ["a", None], title='"<', class_="x", data_x=0.5, id=None)
    assert made == '<p title="&#34;&lt;" class="x" data-x="0.5">&lt;b&gt;&amp;\ufffd<i></i>a</p>'
