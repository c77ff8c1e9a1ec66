"""Braces mean what they mean to shells and to webdataset, and are counted before they are expanded."""

import pytest

from dueby_worker.index.braces import expand


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a.tar", ["a.tar"]),
        ("{000..003}", ["000", "001", "002", "003"]),
        ("{8..11}", ["8", "9", "10", "11"]),
        ("{08..11}", ["08", "09", "10", "11"]),
        ("{3..1}", ["3", "2", "1"]),
        ("{0..10..5}", ["0", "5", "10"]),
        ("{10..0..5}", ["10", "5", "0"]),
        ("{-1..1}", ["-1", "0", "1"]),
        ("{a..e..2}", ["a", "c", "e"]),
        ("{train,val}.tar", ["train.tar", "val.tar"]),
        ("{a,b}{1..2}", ["a1", "a2", "b1", "b2"]),
        ("{x-{0..1},y}.tar", ["x-0.tar", "x-1.tar", "y.tar"]),
        ("{,x}y", ["y", "xy"]),
        ("{x}", ["{x}"]),
        ("{{1..2}}", ["{1}", "{2}"]),
        ("{}", ["{}"]),
        ("a,b}c", ["a,b}c"]),
        ("{1..}", ["{1..}"]),
        ("{a..3}", ["{a..3}"]),
    ],
)
def test_braces_mean_these_names(text: str, names: list[str]) -> None:
    assert list(expand(text)) == names
    assert expand(text).count == len(names)


def test_many_names_are_counted_without_being_made() -> None:
    names = expand("{0..999999999999}/{0..99}.tar")
    assert names.count == 10**14
    assert next(iter(names)) == "0/0.tar"


@pytest.mark.parametrize("text", ["{", "{a,b", "x{1..2}{", "{a{b}"])
def test_a_brace_that_is_not_closed_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"has a { without its }"):
        expand(text)


def test_braces_nested_by_the_thousand_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"nests braces more than 20 deep"):
        expand("{" * 1000 + "a" + "}" * 1000)


def test_a_thousand_braces_beside_each_other_are_names_like_any() -> None:
    assert list(expand("{a}" * 1000 + "{b,c}")) == ["{a}" * 1000 + "b", "{a}" * 1000 + "c"]
