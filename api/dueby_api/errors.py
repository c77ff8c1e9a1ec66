"""What can go wrong, as a small tree.

    DueByError
    ├── Invalid      the user's input is wrong: a sentence, exit code 2, a condition on the job, no retry
    │   └── UnknownField
    └── Transient    something outside is not ready (a store that can't be reached): retry with back-off

Any other exception is a bug. It may stop the process with its traceback.
"""


class DueByError(Exception):
    """The base of every error that DueBy raises on purpose."""


class Invalid(DueByError):
    """The input can't be used. `field` says where (`spec.deadline`, a file, an option), the message what to do."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class UnknownField(Invalid):
    """The document has a field that this version of DueBy doesn't know. A newer one may."""


class Transient(DueByError):
    """Something outside did not answer. The same call may succeed later."""


def first_line(error: Exception) -> str:
    """Return the first line of a library's message without its full stop, or the error's name if it says nothing.

    More lines are details that help nobody who reads one of our sentences.
    """
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
