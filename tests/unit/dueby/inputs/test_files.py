"""Files that are read: what is wrong with one is a sentence with its line, however it was written."""

import io
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from dueby.inputs.files import read_profiles, to_yaml
from dueby.inputs.manifests import MAX_JOBS, read_job
from dueby.inputs.yaml_text import MAX_ALIASED, parse_yaml
from dueby_api.errors import Invalid
from support.planner import job_document, profile_document

JOB = yaml.safe_dump(job_document(), sort_keys=False)
BOMB = "\n".join(
    [
        f"a0: &a0 [{'x, ' * 9}x]",
        *(f"a{level}: &a{level} [{f'*a{level - 1}, ' * 9}*a{level - 1}]" for level in range(1, 9)),
    ]
)


def refusal(text: str) -> str:
    with pytest.raises(Invalid) as caught:
        parse_yaml(text, origin="job.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n", "line 5 gives 'c' again, which line 3", id="a key"),
        pytest.param('{"a": 1,\n "a": 1}', "line 2 gives 'a' again, which line 1 has given; keep one", id="JSON"),
        pytest.param("a: 1\n'a': 2", "line 2 gives 'a' again", id="in quotes"),
        pytest.param("a: &a\n  b: *a", "line 1 contains itself, by an alias", id="a mapping in itself"),
        pytest.param("&a [1, [*a]]", "line 1 contains itself", id="a list in itself"),
        pytest.param(BOMB, f"is more than {MAX_ALIASED:,} values by its aliases; write fewer", id="a bomb"),
        pytest.param("a:\n\tb: 1", "found character that cannot start any token; it is a tab, and YAML", id="a tab"),
        pytest.param("a: *b", "is not YAML in line 1: found undefined alias", id="an alias of nothing"),
        pytest.param("a: !!int x", "line 1: 'x' can't be read as int", id="no number"),
        pytest.param(f"a: {'9' * 5000}", "can't be read as int; put a text into quotes", id="thousands of digits"),
        pytest.param("? [a]\n: 1", "is not YAML in line 1: found unhashable key", id="a list as a key"),
        pytest.param("a: !!python/object:os.system x", "could not determine a constructor", id="code"),
        pytest.param("[" * 100_000, "maximum nesting depth", id="lists without an end"),
        pytest.param("a: {" * 101 + "}" * 101, "line 1 is nested too deeply", id="mappings in each other"),
    ],
)
def test_what_nobody_means_is_named_with_its_line(text: str, sentence: str) -> None:
    found = refusal(text)
    assert found.startswith("job.yaml: ")
    assert sentence in found
    assert len(found) < 200


def test_aliases_and_merges_that_somebody_means_are_read() -> None:
    text = "a: &a {x: 1}\nb: [*a, *a]\nc: {<<: *a, y: 2}"
    assert parse_yaml(text, origin="") == [{"a": {"x": 1}, "b": [{"x": 1}, {"x": 1}], "c": {"x": 1, "y": 2}}]


def test_a_time_is_a_text_as_it_is_to_kubectl() -> None:
    text = "a: 2026-12-01T06:00:00Z\nb: 2026-12-01\nc: 2026-13-45"
    assert parse_yaml(text, origin="") == [{"a": "2026-12-01T06:00:00Z", "b": "2026-12-01", "c": "2026-13-45"}]


@given(st.text() | st.text("&*a:[]{},-?<!'\"|>\n 1", max_size=40))
def test_any_text_is_documents_or_a_sentence(text: str) -> None:
    try:
        parse_yaml(text, origin="")
    except Invalid:
        return


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner)))
@example("a\x85b")
@example("a\u2028b\u2029")
def test_what_yaml_has_written_is_read_as_it_was(value: Any) -> None:
    assert parse_yaml(to_yaml([value]), origin="") == [[value]]


def test_letters_are_written_as_they_are() -> None:
    assert to_yaml({"name": "Ökologie 中"}) == "name: Ökologie 中\n"


def test_a_job_as_long_as_no_job_is_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(JOB + "#" * MAX_JOBS)
    sentence = "has more than 1,048,576 characters; no such file needs so many"
    with pytest.raises(Invalid, match=sentence):
        read_job(str(path))
    monkeypatch.setattr("sys.stdin", io.StringIO(path.read_text()))
    with pytest.raises(Invalid, match=f"-: {sentence}"):
        read_job("-")
    path.write_text(JOB + "#" * 1000)
    assert read_job(str(path)).metadata.name == "catalog"


def test_a_folder_s_profiles_are_read_and_what_else_has_such_a_name_is_not(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(profile_document()))
    (tmp_path / "folder.yaml").mkdir()
    # Whoever opens it waits for a writer.
    os.mkfifo(tmp_path / "pipe.yaml")
    assert [profile.name for profile in read_profiles([str(tmp_path)])] == ["a100"]


@pytest.mark.parametrize("text", [b"\xff\xfe\x00a", b"\x00"])
def test_a_file_that_is_no_text_is_named(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "job.yaml"
    path.write_bytes(text)
    with pytest.raises(Invalid, match=r"job\.yaml: is not "):
        read_job(str(path))
