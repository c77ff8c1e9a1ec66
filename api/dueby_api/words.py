"""Counts as sentences have them: the one place where a plural is made.

`counted(1, "device")` is "1 device". Nouns that don't just take an s say their plural. A sentence that counts something
and doesn't call this is found by tests/unit/test_words.py.
"""


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return the count with its noun: 1 device, 2,400 images."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
