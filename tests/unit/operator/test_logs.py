"""A line of the log is one line, whatever a tenant's words are."""

import json
import logging
from collections.abc import Callable, Iterator

import pytest

from dueby_operator.__main__ import configure_logging

Configure = Callable[[str, str], None]
FORGED = "no\n2026-11-30 ERROR \x1b[31mforged\r\u2028end"


@pytest.fixture
def configured() -> Iterator[Configure]:
    """Configures logging with a level and a format as the operator does, which pytest's own handlers would prevent."""
    root = logging.getLogger()
    others = [logger for logger in root.manager.loggerDict.values() if isinstance(logger, logging.Logger)]
    handlers, levels = list(root.handlers), {logger: logger.level for logger in (root, *others)}

    def configure(level: str, layout: str) -> None:
        root.handlers = []
        configure_logging(level=level, layout=layout)

    yield configure
    root.handlers = handlers
    for logger, level in levels.items():
        logger.setLevel(level)


@pytest.mark.parametrize("layout", ["text", "json"])
def test_no_message_begins_a_line_of_its_own_or_commands_a_terminal(
    layout: str, capsys: pytest.CaptureFixture[str], configured: Configure
) -> None:
    configured("INFO", layout)
    logging.getLogger("dueby_operator.kube").warning("%s/%s: %s", "team", "a\nb", FORGED)
    written = capsys.readouterr().err
    assert len(written.splitlines()) == 1
    assert "\x1b" not in written


def test_a_json_line_has_its_time_level_logger_message_and_traceback(
    capsys: pytest.CaptureFixture[str], configured: Configure
) -> None:
    configured("INFO", "json")
    try:
        raise ValueError("wrong")
    except ValueError:
        logging.getLogger("dueby_operator.loop").exception("team/job could not be read")
    (line,) = capsys.readouterr().err.splitlines()
    record = json.loads(line)
    assert record.keys() == {"time", "level", "logger", "message", "exc_info"}
    assert (record["level"], record["logger"]) == ("ERROR", "dueby_operator.loop")
    assert record["message"] == "team/job could not be read"
    assert "ValueError: wrong" in record["exc_info"]


def test_a_traceback_keeps_its_lines_in_text_and_none_of_them_looks_like_a_message(
    capsys: pytest.CaptureFixture[str], configured: Configure
) -> None:
    configured("INFO", "text")
    try:
        raise ValueError(FORGED)
    except ValueError:
        logging.getLogger("dueby_operator.loop").exception("team/job could not be read")
    first, *others = capsys.readouterr().err.splitlines()
    assert first.endswith("ERROR team/job could not be read")
    assert "    ValueError: no" in others
    assert all(line.startswith("    ") for line in others if line)


@pytest.mark.parametrize(("level", "lines"), [("DEBUG", 2), ("INFO", 1), ("WARNING", 0)])
def test_lines_below_the_level_are_left_out(
    level: str, lines: int, capsys: pytest.CaptureFixture[str], configured: Configure
) -> None:
    configured(level, "text")
    ours = logging.getLogger("dueby_operator.loop")
    ours.debug("a pass began")
    ours.info("started")
    logging.getLogger("kopf.reactor").info("woken")
    assert len(capsys.readouterr().err.splitlines()) == lines
