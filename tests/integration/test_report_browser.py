"""The report in a real browser: nothing on its console, nothing fetched, nothing wider than the page."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dueby.cli.main import main
from support.browser import Browser
from support.page_checks import CONTRAST, CUT_OFF, OVERPRINTED
from support.report import catalog_run, edit, small_run, write_sink
from support.simulated_worker import Device
from support.simulation import Simulation

pytestmark = pytest.mark.browser


def catalog(sink: Path) -> None:
    """A loss, a re-plan, failed images."""
    write_sink(sink, catalog_run())


def killed(sink: Path) -> None:
    """No summary, half of the parts."""
    write_sink(sink, replace(catalog_run(), done=27_000), without=("summary.json",))


def late(sink: Path) -> None:
    """The deadline inside the figures, and a warning."""
    changes = {"verdict": "Late", "inTime": False, "deadlineSeconds": 17.0, "weightsWarning": "the weights are random"}
    write_sink(sink, edit(small_run(), "summary.json", **changes))


def stuck(sink: Path, until_s: float = 24.0) -> None:
    """Nothing is done until the end: the curve stays on the axis."""
    samples = [[moment * until_s / 4, 0, 0] for moment in range(5)]
    sample = edit(edit(small_run(), "progress.json", samples=samples), "summary.json", deadlineSeconds=22.0)
    is_late = until_s > 22
    verdict = "Late" if is_late else "Interrupted"
    changes = {"verdict": verdict, "inTime": not is_late, "imagesDone": 0, "actualSeconds": until_s}
    write_sink(sink, replace(edit(sample, "summary.json", **changes), done=0))


def stuck_at_once(sink: Path) -> None:
    """The same, soon after the start."""
    stuck(sink, until_s=3.0)


def early(sink: Path) -> None:
    """The end in the middle of the figures."""
    write_sink(sink, edit(small_run(), "summary.json", deadlineSeconds=44.0))


def many(sink: Path) -> None:
    """More workers than lanes, long names, no parts."""
    devices = [
        Device(mini_batch_size=256, step_s=0.14, device_class="NVIDIA-A100-SXM4-40GB-MIG-3g.20gb", engine="cudagraph")
    ] * 130
    sample = Simulation(devices, images=1_000_000, deadline_s=600, failures=3).run(
        job="m" * 40, source={"synthetic": {}}
    )
    write_sink(sink, replace(sample, done=0))


def long_words(sink: Path) -> None:
    """Words without a place to break them."""
    word = "Pneumonoultramicroscopicsilicovolcanoconiosis" * 3
    sample = replace(small_run(), hostile=word, failed={7: word})
    write_sink(
        sink,
        edit(sample, "summary.json", imagesFailed=1, weightsWarning=word, model={"name": word[:63], "weights": word}),
    )


@pytest.mark.parametrize(
    "prepare",
    [catalog, killed, late, stuck, stuck_at_once, early, many, long_words],
    ids=lambda prepare: prepare.__name__,
)
def test_the_page_is_clean_and_fits_every_width(
    browser: Browser, prepare: Callable[[Path], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(tmp_path / "sink")
    assert main(["report", str(tmp_path / "sink")]) == 0
    page = Path(capsys.readouterr().out.strip())
    for width, dark in ((1280, False), (1280, True), (768, False), (400, False), (400, True), (320, False)):
        browser.open(page, width=width, dark=dark)
        browser.ask("document.querySelectorAll('details').forEach(e => e.open = true)")
        assert browser.ask("innerWidth") == width
        assert browser.ask("document.documentElement.scrollWidth") <= width, f"too wide at {width} px"
        assert browser.ask(CUT_OFF) == []
        assert browser.ask(OVERPRINTED) == [], f"at {width} px"
        assert browser.ask("[...document.images].every(e => e.complete && e.naturalWidth > 0)")
        assert browser.complaints == []
        assert [uri for uri in browser.requests if not uri.startswith("data:")] == [page.as_uri()]


def test_dark_and_light_differ_and_are_both_readable(
    browser: Browser, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    late(tmp_path / "sink")
    assert main(["report", str(tmp_path / "sink")]) == 0
    page = Path(capsys.readouterr().out.strip())
    contrasts = []
    for dark in (False, True):
        browser.open(page, width=1280, dark=dark)
        contrasts += [
            browser.ask(CONTRAST % selector)
            for selector in ("h1", ".quiet", ".verdict", ".banner", "summary", ".notes li")
        ]
    assert min(contrasts) >= 4.5


def test_the_browser_notices_what_these_tests_look_for(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    wide = "<meta charset=utf-8><p style='width: 500px; margin-left: -9px'>x</p>"
    chart = "<svg class=plot><text x=20 y=40>one</text><text x=24 y=44>two</text><text x=20 y=70>three</text></svg>"
    page.write_text(f"{wide}{chart}<script src=gone.js></script><script>nothing()</script>")
    browser.open(page, width=400)
    assert browser.ask("document.documentElement.scrollWidth") > 400
    assert browser.ask(CUT_OFF) == ["x"]
    assert browser.ask(OVERPRINTED) == ["one | two"]
    assert any("nothing is not defined" in complaint for complaint in browser.complaints)
    assert any(uri.endswith("gone.js") for uri in browser.requests)
