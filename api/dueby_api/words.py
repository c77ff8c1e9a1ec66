"""Counts and times as sentences have them: the one place where a plural is made, and where a time gets its direction.

"1 devices" and "in -1m01s" are what sentences say that put a number beside a noun. tests/unit/test_words.py finds
sentences that count something and don't call this. Columns and charts have room for a sign, and keep it.
"""

from dueby_api.units import MICROS_PER_SECOND, format_duration

_HOUR_US = 3600 * MICROS_PER_SECOND
# From here on nobody counts hours.
_MANY_HOURS = 100


def capital(sentence: str) -> str:
    """Return the words as a sentence begins."""
    return sentence[:1].upper() + sentence[1:]


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return the count with its noun: 1 device, 2,400 images."""
    return f"{count:,} {noun_of(count, noun, plural)}"


def noun_of(count: int, noun: str, plural: str = "") -> str:
    """Return the noun for so many, which stands apart from the count: of 1 to 3 workers."""
    return noun if count == 1 else plural or noun + "s"


def verb_of(count: int) -> str:
    """Return is or are, for so many."""
    return "is" if count == 1 else "are"


def times(count: int) -> str:
    """Return once, twice or 3 times."""
    return {1: "once", 2: "twice"}.get(count, f"{count:,} times")


def faults(errors: int, warnings: int) -> str:
    """Return what follows a count of rows: ", 2 of them with an error and 3 with a warning"; empty if all are fine."""
    told = [f"{count:,} with {what}" for count, what in ((errors, "an error"), (warnings, "a warning")) if count]
    return f", {' and '.join(told)}".replace(" with", " of them with", 1) if told else ""


def unlisted_words(unlisted: str) -> str:
    """Return the sentence about files that are no images by their endings, such as "3 .txt"; empty without any."""
    return f"Not listed, since their endings are no image's: {unlisted}." if unlisted else ""


def from_now(micros: int) -> str:
    """Return when something is that is so far away: in 5.0s, or 1m01s ago."""
    return f"{time_span(-micros)} ago" if micros < 0 else f"in {time_span(micros)}"


def time_span(micros: int) -> str:
    """Return a time as sentences have it: 5.0s, 26h10m, 2,525 days. It is no duration that a manifest could have."""
    if micros < _MANY_HOURS * _HOUR_US:
        return format_duration(micros)
    return counted(round(micros / (24 * _HOUR_US)), "day")


def slack_words(micros: int) -> str:
    """Return how a finish stands to its deadline: slack 5.0s, or late by 1m01s."""
    return f"late by {time_span(-micros)}" if micros < 0 else f"slack {time_span(micros)}"
