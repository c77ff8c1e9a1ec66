"""Makes the faults of a schedule, one after the other and beside each other, and keeps what came of each."""

import threading
from dataclasses import dataclass

from chaos.cluster import AbortedError
from chaos.job_faults import JOB_FAULTS
from chaos.log import Log
from chaos.schedule import FAULTS, PlannedFault
from chaos.server_faults import SERVER_FAULTS, Setting

MAKE = {**SERVER_FAULTS, **JOB_FAULTS}
if MAKE.keys() != FAULTS.keys():
    raise KeyError(f"kinds of faults without a way to make them, or to plan them: {MAKE.keys() ^ FAULTS.keys()}")


@dataclass(frozen=True, kw_only=True)
class InjectedFault:
    """A fault that has been."""

    kind: str
    target: str | None
    """None: there was nothing to hit."""
    planned_s: float
    began_s: float
    ended_s: float
    error: str = ""
    """Why it could not be made, or not be undone."""
    is_interrupted: bool = False
    """Whether that was since the run was ended early, which stops commands that are under way."""


class Faults:
    """Makes faults, each in a thread of its own."""

    def __init__(self, setting: Setting, log: Log) -> None:
        self._setting, self._log = setting, log
        self._lock = threading.Lock()
        self.made: list[InjectedFault] = []

    def make(self, planned: PlannedFault) -> None:
        """Make the fault, let it last, and undo it; at once when no more is to begin."""
        began_s, target, error = self._log.now_s(), None, ""
        try:
            with MAKE[planned.kind](self._setting, planned) as target:
                self._tell(planned, target)
                if target is not None:
                    self._setting.world.over.wait(planned.seconds)
            if target is not None and planned.seconds:
                self._log.say("fault", f"{planned.kind}: over")
        except AbortedError:
            error = "interrupted"
        except Exception as failure:  # one that can't be made is told, and must not end the others
            error = f"{type(failure).__name__}: {failure}"
            self._log.say("wrong", f"{planned.kind} could not be made or undone: {error}")
        fault = InjectedFault(
            kind=planned.kind,
            target=target,
            planned_s=planned.at_s,
            began_s=round(began_s, 1),
            ended_s=round(self._log.now_s(), 1),
            error=error[:1000],
            is_interrupted=bool(error) and self._setting.world.over.is_set(),
        )
        with self._lock:
            self.made.append(fault)

    def _tell(self, planned: PlannedFault, target: str | None) -> None:
        lasting = f" for {planned.seconds:.0f} s" if planned.seconds and target else ""
        self._log.say("fault", f"{planned.kind}{lasting}: {target or 'nothing to hit'}")
