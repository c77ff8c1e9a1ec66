"""Numbers and times as the report writes them: the same way everywhere, in the units that the command prints."""

from datetime import UTC, datetime

from dueby_api import words
from dueby_api.units import MICROS_PER_SECOND, format_duration, from_micros

NOTHING = "–"
# From this part of a unit on, three digits of it are 1: of the one below they would be 1e+03.
_WHOLE = 0.9995
# A space at which no line is broken.
SPACE = "\u00a0"
# Why the number of workers changed: reasons of the run's record in words.
_REASONS = {
    "Started": "the start",
    "Resumed": "an earlier run is resumed",
    "WorkerLost": "a worker was lost",
    "Lagging": "the workers were too slow",
    "Edited": "the job was edited",
    "Admitted": "more workers were admitted",
    "Ahead": "fewer workers are enough",
    "WindowBegins": "devices reserved for the job were free",
    "SpotCame": "spot devices came for those on demand",
    "GaveWay": "other jobs needed the devices",
    "NodeDrains": "a node was going away",
}


def duration(seconds: float | None) -> str:
    """Return 1m51s, 13.4s or 26s; a dash if the time isn't known."""
    if seconds is None:
        return NOTHING
    # format_duration has whole seconds above 1 s, too coarse for a run of a minute. 59.95 would be rounded to 60.0s.
    if 1 <= abs(seconds) < 59.95:
        shown = f"{seconds:.1f}s" if seconds != round(seconds) else f"{seconds:.0f}s"
    else:
        shown = format_duration(round(seconds * MICROS_PER_SECOND))
    return shown.replace("-", "−")


def fine(seconds: float | None) -> str:
    """Return a short time with three digits: 294 ms, 1.53 s, 24.1 s."""
    if seconds is None:
        return NOTHING
    if seconds < _WHOLE:
        return f"{seconds * 1000:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 100 else duration(seconds)


def number(value: float | None) -> str:
    """Return 1,000,000."""
    return NOTHING if value is None else f"{value:,.0f}"


def percent(share: float | None, *, digits: int = 1) -> str:
    """Return 97.3 %. A share that is neither 0 nor 1 is never rounded to 0 % or 100 %."""
    if share is None:
        return NOTHING
    least = 10.0**-digits
    shown = round(100 * share, digits)
    if share > 0 and shown < least:
        return f"<{SPACE}{least:g}{SPACE}%"
    if share < 1 and shown >= 100:
        return f">{SPACE}{100 - least:g}{SPACE}%"
    return f"{shown:g}{SPACE}%"


def change(actual: float | None, expected: float | None) -> str:
    """Return the change from the expected value: +3.1 % or −0.4 %."""
    if actual is None or not expected:
        return NOTHING
    return f"{100 * (actual / expected - 1):+.1f}{SPACE}%".replace("-", "−")


def reason(name: str) -> str:
    """Return in words why the workers changed; a reason of another version as it is."""
    return _REASONS.get(name, name)


def size(byte_count: float | None) -> str:
    """Return 77 KB or 1.2 GB."""
    if byte_count is None:
        return NOTHING
    for unit, bytes_each in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if byte_count >= bytes_each * _WHOLE:
            return f"{byte_count / bytes_each:.3g} {unit}"
    return f"{byte_count:.0f} B"


def moment(unix_us: int | None) -> str:
    """Return 25 November 2026, 02:00:05 UTC."""
    return NOTHING if unix_us is None else _day(from_micros(unix_us).astimezone(UTC))


def counted(count: int | None, noun: str, plural: str = "") -> str:
    """Return 1 device or 2 devices."""
    return f"{NOTHING} {plural or noun + 's'}" if count is None else words.counted(count, noun, plural)


def _day(when: datetime) -> str:
    return f"{when.day} {when:%B %Y, %H:%M:%S} UTC"
