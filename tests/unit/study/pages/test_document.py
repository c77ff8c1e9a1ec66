"""docs/study.md quotes a run: its text and figures are those that the command makes of the numbers kept beside it."""

import json

from dueby_api.schema import validate
from dueby_study.pages.document import render_text
from dueby_study.pages.page import study_page
from dueby_study.summary import StudySummary
from support.source_tree import REPOSITORY

DOCS = REPOSITORY / "docs"


def test_the_document_holds_the_words_of_the_run_that_it_names() -> None:
    summary = validate(StudySummary, json.loads((DOCS / "data" / "study.json").read_bytes()))
    figures = {path.stem: path.read_bytes() for path in (DOCS / "figures").glob("study-*.png")}
    assert summary.settings.preset == "quick"
    assert render_text(study_page(summary, figures)) in (DOCS / "study.md").read_text(encoding="utf-8")
