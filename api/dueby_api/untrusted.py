"""Text from outside, made safe to print and to pass on.

Labels, URIs and error messages come from other people's files. Escaping them for HTML is the business of the reports'
templates and charts; this module handles what escaping leaves: characters that a terminal obeys, that hide or reorder
text, and credentials in URIs.
"""

import re
import textwrap

# Control characters, halves of surrogate pairs (they can't be encoded), and the marks that make text read backwards.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
# Signatures of presigned URLs are in the query, so all of it goes. Only http has queries: a `?` in a path stays.
_QUERY = re.compile(r"(https?://[^\s?]+)\?\S+")


def printable(text: str) -> str:
    """Return the text with a replacement character for each one that can't be printed."""
    return _UNPRINTABLE.sub("\ufffd", text)


def one_line(text: str) -> str:
    """Return the text as one printable line: no name in it begins a line of a log."""
    return printable(" ".join(text.splitlines()))


def one_sentence(text: str) -> str:
    """Return the text as printable words on one line, with a single space between them."""
    return printable(" ".join(text.split()))


def indented(text: str) -> str:
    """Return the text as printable lines that look like none of a log's own, such as a traceback below a message."""
    return printable(textwrap.indent("\n".join(text.splitlines()), "    "))


def without_credentials(text: str) -> str:
    """Return the text without the passwords and signed queries of its URIs: reports are made to be passed on."""
    return _QUERY.sub(r"\1?…", _CREDENTIALS.sub("…@", text))
