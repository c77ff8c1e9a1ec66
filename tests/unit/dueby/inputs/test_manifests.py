"""Jobs in manifests: several documents to a file, and what is wrong with one is said of that document."""

import io
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dueby.inputs.manifests import MAX_JOBS, read_job, read_manifests
from dueby.inputs.yaml_text import MAX_ALIASED
from dueby.local.edits import ManifestWatch
from dueby_api.errors import Invalid
from support.planner import named_job_document as job
from support.planner import profile_document

CLAIM: dict[str, Any] = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "rows"}}


def listed(*items: Any, kind: str = "List") -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "items": list(items)}


def write(path: Path, *documents: Any) -> str:
    path.write_text(yaml.safe_dump_all(documents, sort_keys=False))
    return str(path)


def refusal(*files: str) -> str:
    with pytest.raises(Invalid) as caught:
        read_manifests(files)
    return str(caught.value)


@pytest.mark.parametrize(
    "documents",
    [
        pytest.param([job("a"), job("b"), job("c")], id="documents"),
        pytest.param([None, job("a"), None, job("b"), job("c"), None], id="empty ones between them"),
        pytest.param([listed(job("a"), job("b"), job("c"))], id="a List"),
        pytest.param([listed(job("a"), kind="InferenceJobList"), job("b"), listed(job("c"))], id="both"),
        pytest.param([listed(job("a"), listed(job("b"), job("c")))], id="a List in a List"),
        pytest.param([CLAIM, job("a"), listed(CLAIM, job("b")), profile_document(), job("c")], id="among other kinds"),
    ],
)
def test_all_jobs_of_a_file_are_read_in_their_order(tmp_path: Path, documents: list[Any]) -> None:
    assert [found.name for found in read_manifests([write(tmp_path / "jobs.yaml", *documents)])] == ["a", "b", "c"]


def test_files_and_standard_input_are_read_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(yaml.safe_dump_all([job("c"), job("d")])))
    first, last = write(tmp_path / "first.yaml", job("a"), job("b")), write(tmp_path / "last.yaml", job("e"))
    found = read_manifests([first, "-", last])
    assert [manifest.name for manifest in found] == ["a", "b", "c", "d", "e"]
    assert [manifest.file for manifest in found] == [first, first, "-", "-", last]


WRONG = job("b", images=-1)


@pytest.mark.parametrize(
    ("documents", "sentence"),
    [
        pytest.param([job("a"), WRONG], ", document 2: spec.images: must be", id="a document"),
        pytest.param([WRONG], ": spec.images: must be", id="the only one"),
        pytest.param([job("a"), listed(CLAIM, WRONG)], ", document 2, item 2: spec.images: must be", id="an item"),
        pytest.param([job("a"), {**job("b"), "kind": "InferenceJbo"}], ", document 2: kind: must be", id="a kind"),
        pytest.param(
            [job("a"), {**job("b"), "apiVersion": "dueby.io/v1"}], ", document 2: apiVersion: must be", id="a group"
        ),
        pytest.param([job("a"), {"spec": {}}], ", document 2: ", id="no kind"),
        pytest.param([job("a"), {**CLAIM, "kind": 5}], ", document 2: ", id="a number for a kind"),
        pytest.param([job("a"), 5], ", document 2: expected a mapping of fields", id="a number"),
        pytest.param([CLAIM, CLAIM], ": expected an InferenceJob, found none among 2 documents", id="no job"),
        pytest.param([], ": expected an InferenceJob, found none among 0 documents", id="nothing"),
        pytest.param([job("a"), job("b"), job("a")], "two jobs are named a, in {0}, document 1 and", id="a name twice"),
        pytest.param(
            [job("a"), job("b", sink={"uri": "s3://"})], "has no bucket after s3:// (job b)", id="a sink nowhere"
        ),
        pytest.param(
            [job("a"), job("b", sink={"uri": "s3://bucket/a-rows"})],
            "two jobs write to s3://bucket/a-rows;",
            id="one sink",
        ),
    ],
)
def test_what_is_wrong_with_a_document_is_said_of_it(tmp_path: Path, documents: list[Any], sentence: str) -> None:
    file = write(tmp_path / "jobs.yaml", *documents)
    assert sentence.format(file) in refusal(file).removeprefix(file)


def test_a_name_in_two_files_is_refused(tmp_path: Path) -> None:
    one, other = write(tmp_path / "one.yaml", job("a")), write(tmp_path / "other.yaml", job("b"), job("a"))
    sentence = f"metadata.name: two jobs are named a, in {one} and in {other}, document 2; give each a name of its own"
    assert refusal(one, other) == sentence


def test_the_lines_of_an_error_are_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "jobs.yaml"
    path.write_text("a: 1\n---\nb: 1\nb: 2\n")
    assert "line 4 gives 'b' again, which line 3 has given" in refusal(str(path))


def test_a_file_is_as_long_as_one_job_may_be(tmp_path: Path) -> None:
    path = tmp_path / "jobs.yaml"
    path.write_text("\n---\n".join(f"#{'x' * (MAX_JOBS // 4)}\n{yaml.safe_dump(job(name))}" for name in "abcd"))
    assert f"has more than {MAX_JOBS:,} characters" in refusal(str(path))


def test_bombs_of_which_each_is_small_are_one_bomb(tmp_path: Path) -> None:
    path = tmp_path / "jobs.yaml"
    small = f"a: &a [{', '.join('x' * 100)}]\nb: [{', '.join(['*a'] * 100)}]\n"
    path.write_text("---\n".join([small] * 5))
    assert "none" not in refusal(str(path))
    path.write_text("---\n".join([small] * 12))
    assert f"is more than {MAX_ALIASED:,} values by its aliases" in refusal(str(path))


@given(st.lists(st.sampled_from(["---", "...", "a: 1", "kind: List", "items: [1]", "- b", "%YAML 1.2", "&a *a"])))
def test_any_documents_are_jobs_or_a_sentence(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    path = tmp_path_factory.mktemp("manifests") / "jobs.yaml"
    path.write_text("\n".join(lines))
    assert refusal(str(path)).startswith(str(path))


def test_one_job_is_asked_for_by_its_name_where_there_are_several(tmp_path: Path) -> None:
    file = write(tmp_path / "jobs.yaml", job("a"), CLAIM, job("b"))
    assert read_job(file, name="b").metadata.name == "b"
    with pytest.raises(Invalid, match="expected one InferenceJob, found 2 InferenceJobs"):
        read_job(file)
    with pytest.raises(Invalid, match="expected one InferenceJob, found 0 of name c"):
        read_job(file, name="c")


def test_an_edit_is_taken_from_the_job_s_own_document(tmp_path: Path) -> None:
    path, said = tmp_path / "jobs.yaml", list[str]()
    file = write(path, job("a"), job("b"))
    watches = {manifest.name: ManifestWatch(file, manifest.job, said.append) for manifest in read_manifests([file])}

    def edited(name: str, *documents: Any) -> str | None:
        write(tmp_path / "new.yaml", *documents)
        (tmp_path / "new.yaml").replace(path)
        found = watches[name].edited_job()
        return found.spec.deadline if found else None

    assert edited("b", job("a"), job("b", deadline="2h")) == "2h"
    assert edited("a", job("a"), job("b", deadline="2h")) is None
    assert said == []
    assert edited("b", job("a"), job("c")) is None
    assert said == [f"the edit is not taken: {file}: expected one InferenceJob, found 0 of name b"]
    # The only job of a file is the one that was edited, whatever it is called now.
    assert edited("a", {**job("a"), "metadata": {"name": "c"}}) is None
    assert "metadata.name can't change" in said[1]
