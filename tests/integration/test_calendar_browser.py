"""The page of a calendar in a real browser: clean, loading nothing, and readable at every width."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from dueby.cli.main import main
from dueby_pages.calendar import ShownCalendar, ShownHold, ShownJob, ShownPool
from dueby_pages.calendar_page import render_calendar
from support.browser import Browser
from support.cluster_list import job, listed, reserved, running
from support.page_checks import BAD_BLOCKS, CONTRAST, CUT_OFF, OVERPRINTED
from support.planner import A100, named_job_document, profile_document, step_document

pytestmark = pytest.mark.browser

CLASSES = ("Hard", "Soft", "Relaxed", "BestEffort", "Hard")
# Whatever names and times there are, they repeat after so many jobs, so that each page is the same every time.
MINUTES, IMAGES = (10, 4, 30, 15, 6, 60, 8), (900_000, 300_000, 3_000_000)
Write = Callable[[Path], list[str]]


def plan_of(folder: Path, count: int, **pool: int) -> list[str]:
    """The command for the page of so many jobs on two classes."""
    words = ["plan", "-o", "html"]
    for number, (name, step_us) in enumerate(((A100, 14_000), ("NVIDIA-L4", 38_000))):
        profile = profile_document(deviceClass=name, steps=[step_document(64, step_us, 990_000, p50=900_000)])
        profile["metadata"]["name"] = f"profile-{number}"
        path = folder / f"profile-{number}.yaml"
        path.write_text(yaml.safe_dump(profile))
        words += ["--profiles", str(path), "--pool", f"{name}={pool.get(f'p{number}', 2)}"]
    for number in range(count):
        long = number % 4 == 1
        words += job_file(
            folder,
            name=f"thumbnails-of-the-whole-shop-{number}" if long else f"job-{number}",
            images=IMAGES[number % len(IMAGES)],
            deadline=f"{MINUTES[number % len(MINUTES)]}m",
            deadlineClass=CLASSES[number % len(CLASSES)],
        )
    return words


def job_file(folder: Path, *, name: str, **spec: Any) -> list[str]:
    """Write a job's manifest and return the option that names it."""
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(named_job_document(name, **spec)))
    return ["-f", str(path)]


def one(folder: Path) -> list[str]:
    """A single job."""
    return plan_of(folder, 1)


def few(folder: Path) -> list[str]:
    """Three jobs, with room for their names."""
    return plan_of(folder, 3)


def crowded(folder: Path) -> list[str]:
    """More jobs than a small pool can do: one is refused, and some are late or wait."""
    refused = job_file(folder, name="refused", images=10**8, deadline="5m", deadlineClass="Hard")
    return [*plan_of(folder, 12, p0=1, p1=1), *refused]


def many(folder: Path) -> list[str]:
    """Sixty jobs, whose blocks are smaller than their names."""
    return plan_of(folder, 60, p0=16, p1=12)


def cluster(folder: Path) -> list[str]:
    """Jobs that run, wait, are late or can't be read, with words that can't be broken."""
    word = "pneumonoultramicroscopicsilicovolcanoconiosis"
    late: dict[str, Any] = {"deadline_s": 5000, "message": f"It ends 6m40s after its deadline: {word * 3}."}
    path = folder / "list.json"
    path.write_text(
        listed(
            running("catalog", gpus=4, from_s=-1800, to_s=2400),
            running("mixed", gpus=3, from_s=-600, to_s=5400, classes={"a100": 2, word * 2: 2}, **late),
            reserved(word, ("a100", 4, 2400, 5000), ("l4", 1200, 600, 5000), deadline_s=7200),
            reserved("short", ("l4", 1, 600, 601), deadline_s=7200),
            job("waits", namespace=word, phase="Queued", deadline_s=10 * 86_400, deadline_class="BestEffort"),
            5,
        )
    )
    return ["calendar", "-o", "html", "-f", str(path)]


def empty(folder: Path) -> list[str]:
    """No jobs."""
    (folder / "list.json").write_text(listed())
    return ["calendar", "-o", "html", "-f", str(folder / "list.json")]


def page_of(write: Write, folder: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The page that the command prints, as a file."""
    assert main(write(folder)) in (0, 3)
    page = folder / "page.html"
    page.write_text(capsys.readouterr().out)
    return page


@pytest.mark.parametrize("write", [one, few, crowded, many, cluster, empty], ids=lambda write: write.__name__)
def test_the_page_is_clean_and_fits_every_width(
    browser: Browser, write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = page_of(write, tmp_path, capsys)
    for width, dark in ((1280, False), (768, True), (400, False), (320, False)):
        browser.open(page, width=width, dark=dark)
        assert browser.ask("document.documentElement.scrollWidth") <= width, f"too wide at {width} px"
        assert browser.ask(CUT_OFF) == []
        assert browser.ask(OVERPRINTED) == [], f"at {width} px"
        assert browser.ask(BAD_BLOCKS) == [], f"at {width} px"
        assert browser.complaints == []
        assert [uri for uri in browser.requests if not uri.startswith("data:")] == [page.as_uri()]


def test_names_are_shown_where_there_is_room_and_numbers_where_there_is_little(
    browser: Browser, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = page_of(many, tmp_path, capsys)
    shown = []
    for width in (1280, 400):
        browser.open(page, width=width)
        shown.append(
            [
                browser.ask(f"[...document.querySelectorAll('.block {part}')].filter(e => e.offsetWidth).length")
                for part in ("span", "b")
            ]
        )
    (wide_names, wide_numbers), (names, numbers) = shown
    assert 0 < names < wide_names < wide_numbers
    assert names < numbers < wide_numbers


def test_dark_and_light_are_both_readable(browser: Browser, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = page_of(crowded, tmp_path, capsys)
    looks = (".kind", ".lead", ".proof", ".stand", ".alarm", "td")
    for dark in (False, True):
        browser.open(page, width=1280, dark=dark)
        assert min(browser.ask(CONTRAST % look) for look in looks) >= 4.5


def test_what_other_pods_have_is_readable_behind_the_jobs(browser: Browser, tmp_path: Path) -> None:
    hold = ShownHold(device_class="a100", from_s=60, to_s=600, count=4)
    waits = ShownJob(name="waits", deadline_class="Hard", state="Scheduled", deadline_s=900, holds=(hold,))
    pool = (ShownPool(device_class="a100", devices=4, peak=4, others=2),)
    shown = ShownCalendar(now_us=0, jobs=(waits,), pool=pool, device="device", is_of_cluster=True)
    page = tmp_path / "page.html"
    page.write_text(render_calendar(shown))
    for dark in (False, True):
        browser.open(page, width=400, dark=dark)
        assert browser.ask(CONTRAST % ".others span") >= 4.5
        assert browser.ask(CUT_OFF) == []
        on_top = "[...document.querySelectorAll('.calendar .block')].at(-1).className"
        assert browser.ask(on_top) == "block hard"


def test_a_day_that_begins_has_room_for_its_name(browser: Browser, tmp_path: Path) -> None:
    before_midnight = 1_795_820_700_000_000  # 23:05 in UTC
    hold = ShownHold(device_class="a100", from_s=60, to_s=7000, count=4)
    waits = ShownJob(name="waits", deadline_class="Hard", state="Scheduled", deadline_s=7200, holds=(hold,))
    page = tmp_path / "page.html"
    shown = ShownCalendar(now_us=before_midnight, jobs=(waits,), pool=(), device="device", is_of_cluster=True)
    page.write_text(render_calendar(shown))
    for width in (1280, 768, 650, 400):
        browser.open(page, width=width)
        assert browser.ask(OVERPRINTED) == [], f"at {width} px"
    assert ">28 Nov<" in page.read_text()


def test_the_browser_notices_blocks_that_lie_on_each_other(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    style = "position: absolute; left: {}px; width: 20px; overflow: hidden"
    block = f"<div class=block title={{}} style='{style}'><b>{{}}</b></div>"
    blocks = [block.format("one", 10, 1), block.format("two", 25, 2), block.format("three", 60, "wide" * 9)]
    page.write_text(f"<meta charset=utf-8><div class=calendar>{''.join(blocks)}</div>")
    browser.open(page, width=400)
    assert browser.ask(BAD_BLOCKS) == ["one | two", f"the number {'wide' * 9} is cut"]
