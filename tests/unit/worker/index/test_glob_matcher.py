"""Globs match what they match in a shell, and no glob takes long on any name."""

import time
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_worker.index.globs import MAX_NOTED, GlobMatcher

NAMES = st.text("ab-]!", max_size=6)
GLOBS = st.lists(st.sampled_from(["a", "b", "*", "?", "[ab]", "[!a]", "-", "]", "!"]), max_size=8).map("".join)


@pytest.mark.parametrize(
    ("glob", "matched", "others"),
    [
        pytest.param("*a*ab", ["aab", "xaxab", "aaab"], ["ab", "aba"], id="stars share the letters"),
        pytest.param("*.jpg", ["a.jpg", "é 中.jpg", "\udcff.jpg"], [".jpg", ".a.jpg", "a/b.jpg"], id="no hidden names"),
        pytest.param("a/[.b]c", ["a/bc"], ["a/.c"], id="nor for brackets"),
        pytest.param("**/a", ["a", "b/a", "b/c/a"], [".b/a", "b/.c/a", "ba"], id="folders, none of them hidden"),
        pytest.param("a/**", ["a/b", "a/b/c"], ["a/", "a/.b", "a/b/.c"], id="all that is in them"),
        pytest.param("{a,b/{c,d*},}.x", ["a.x", "b/c.x", "b/dd.x", ".x"], ["b.x", "b/.x", "ac.x"], id="braces nest"),
        pytest.param("a,b}", ["a,b}"], ["a", "b"], id="without a brace that opens, they are letters"),
        pytest.param("[!a-c]", ["d", "-"], ["b", "/", ""], id="a range, negated"),
        pytest.param("{" * 1000 + "a" + "}" * 1000, ["a"], ["", "b"], id="a thousand braces"),
    ],
)
def test_a_glob_matches_these_names(glob: str, matched: list[str], others: list[str]) -> None:
    matcher = GlobMatcher(glob)
    assert [name for name in (*matched, *others) if matcher.matches(name)] == matched


@given(glob=GLOBS, name=NAMES)
def test_within_a_name_globs_are_those_of_the_standard_library(glob: str, name: str) -> None:
    if not glob.startswith("**"):
        assert GlobMatcher(glob).matches(name) == fnmatchcase(name, glob)


@given(options=st.lists(GLOBS, min_size=1, max_size=3), rest=GLOBS, name=NAMES)
def test_braces_match_what_one_of_their_texts_matches(options: list[str], rest: str, name: str) -> None:
    one_of_them = any(GlobMatcher(f"a{option}{rest}").matches(f"a{name}") for option in options)
    assert GlobMatcher(f"a{{{','.join(options)}}}{rest}").matches(f"a{name}") == one_of_them


@pytest.mark.parametrize(
    ("glob", "name"),
    [
        pytest.param("*a*a*a*a*ab", "a" * 4000 + "c", id="stars between the same letters"),
        pytest.param("{*a,*a,*a}" * 20 + "b", "a" * 4000 + "c", id="braces of the same stars"),
        pytest.param("**/" * 30 + "b", "a/" * 2000 + "c", id="folders of folders"),
        pytest.param("*a" + "?" * 200, "ab" * 2000, id="more places than are noted"),
    ],
)
def test_no_name_takes_long(glob: str, name: str) -> None:
    matcher, begins_s = GlobMatcher(glob), time.process_time()
    matcher.matches(name)
    # One after the other, the readings of the first of these globs took 82 s on a name of 1,000 letters.
    assert time.process_time() - begins_s < 5


def test_what_is_noted_is_forgotten_before_it_fills_the_memory() -> None:
    matcher = GlobMatcher("*a?")
    for number in range(MAX_NOTED * 2):
        assert matcher.matches(f"{chr(0x4E00 + number % 50_000)}ax")
        assert not matcher.matches("ba")
