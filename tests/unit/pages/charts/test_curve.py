"""The picture of a curve: a whole document whose lines and marks are where their values are."""

import re
from xml.etree import ElementTree

import pytest

from dueby_pages.charts.curve import ShownCurve, ShownLine, ShownPanel, draw_curve

SVG = "{http://www.w3.org/2000/svg}"


def shown(*lines: ShownLine, **changes: object) -> ShownCurve:
    fields: dict[str, object] = {
        "title": "catalog: 5 images",
        "story": "It says <this> & that. " * 12,
        "axis": "deadline",
        "is_over_time": True,
        "panels": [ShownPanel(title="GPUs", lines=lines, knee=(100.0, 10.0, "knee"))],
        "now": (1000.0, "deadline 16m40s"),
    }
    return ShownCurve(**(fields | changes))  # type: ignore[arg-type]


MIX = ShownLine(name="all", kind="fewest", points=[(10.0, 100.0), (100.0, 10.0), (1000.0, 1.0)])
ALONE = ShownLine(name="a alone", kind="alone", points=[(100.0, 50.0), (1000.0, 5.0)])


def drawn(curve: ShownCurve) -> ElementTree.Element:
    return ElementTree.fromstring(str(draw_curve(curve)))


def test_ten_times_as_much_is_the_same_way_everywhere() -> None:
    paths = {path[0].text: path.get("d") or "" for path in drawn(shown(MIX, ALONE)).iter(f"{SVG}path")}
    (x0, y0), (x1, y1), (x2, y2) = [tuple(map(float, pair)) for pair in re.findall(r"([\d.]+) ([\d.]+)", paths["all"])]
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y1 - y0 == pytest.approx(y2 - y1, abs=0.2)
    assert (x0, y0) < (x1, y1) < (x2, y2)
    assert list(paths) == ["all", "a alone"], "the line of one class lies over the broad one"


def test_knee_deadline_and_names_are_shown_and_all_text_is_within_the_picture() -> None:
    picture = drawn(shown(MIX, ALONE))
    texts = {text.text: text for text in picture.iter(f"{SVG}text")}
    assert {"knee", "deadline 16m40s", "all", "a alone", "GPUs", "1m40s"} - texts.keys() == {"1m40s"}
    (knee,) = picture.iter(f"{SVG}circle")
    (mix,) = (path.get("d") or "" for path in picture.iter(f"{SVG}path") if path[0].text == "all")
    assert f"{float(knee.get('cx') or 0):.1f} {float(knee.get('cy') or 0):.1f}" in mix
    for text in texts.values():
        assert 0 <= float(text.get("x") or -1) <= 1120
        assert 0 <= float(text.get("y") or -1) <= 560


def test_times_between_the_usual_ones_are_named_too() -> None:
    short = ShownLine(name="all", kind="fewest", points=[(150.042, 2.0), (359.98, 1.0)])
    texts = {text.text for text in drawn(shown(short, now=None)).iter(f"{SVG}text")}
    assert {"2m30s", "6m00s"} <= texts


def test_what_the_store_bounds_is_an_area_before_it() -> None:
    plain, bound = drawn(shown(MIX)), drawn(shown(MIX, bound=(20.0, "the store is no faster")))
    assert len(list(bound.iter(f"{SVG}rect"))) == len(list(plain.iter(f"{SVG}rect"))) + 1
    assert any(text.text == "the store is no faster" for text in bound.iter(f"{SVG}text"))


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param((), id="nothing"),
        pytest.param((ShownLine(name="x", kind="fewest", points=[(3.0, 7.0)]),), id="one point"),
        pytest.param((ShownLine(name="x", kind="cheapest", points=[(0.01, 1e-6), (1e9, 1e12)]),), id="far apart"),
    ],
)
def test_any_values_make_a_picture(lines: tuple[ShownLine, ...]) -> None:
    assert drawn(shown(*lines, now=None, panels=[ShownPanel(title="GPUs", lines=lines)])).tag == f"{SVG}svg"
