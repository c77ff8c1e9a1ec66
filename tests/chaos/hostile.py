"""Applies the hostile objects of the chaos, and says how each ended: refused, Failed with a sentence, or survived.

What "survived" means is not judged here: that the operator passes on, counts no fault of its own and isn't started
again, and that healthy jobs end as they should, is judged of the whole run.
"""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from chaos.cluster import CROWD, AbortedError, Document, World, insist, seen
from chaos.hostile_objects import (
    DEADLINE_S,
    TAKEN_OVER,
    Make,
    hangers_on,
    hostile_job,
    liar,
    planted,
    strangers,
    variables,
)
from chaos.log import Log
from support.kind.cluster import Cluster
from support.kind.kube_api import NotFoundError

# Beyond its deadline a hostile job is not waited for.
MAX_LATE_S = 600.0
# Objects that nobody is to mind are left for so long.
LEFT_S = 90.0
LOOK_S = 2.0
# What the API server says of a document that makes no sense, rather than of a name or a right.
REFUSED = ("(Invalid)", "(BadRequest)", " is invalid")


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a hostile case ended."""

    case: str
    ended: str
    """Refused, Failed, Succeeded, Unfinished, or Survived."""
    sentence: str
    """What was said of it."""
    is_expected: bool
    seconds: float = 0.0

    def document(self) -> dict[str, Any]:
        """The same as JSON."""
        return asdict(self)


class HostileCases:
    """Applies cases, each in a thread of its own."""

    def __init__(self, world: World, cluster: Cluster, log: Log, cases: "Mapping[str, Case]") -> None:
        self._cases = cases
        self.world, self.cluster, self._log = world, cluster, log
        self._lock = threading.Lock()
        self._count = 0
        self.endings: list[Ending] = []

    def prepare(self) -> None:
        """Put there what the cases take variables from, and the namespace of crowds."""
        self.cluster.within(CROWD)
        self.cluster.apply(*(variables(step, does) for step, does in TAKEN_OVER))

    def run(self, case: str) -> None:
        """Apply a case, and wait for its end."""
        with self._lock:
            self._count += 1
            name = f"hostile-{self._count}"
        began_s = self._log.now_s()
        self._log.say("hostile", f"{name}: {case}")
        try:
            ended, sentence, is_expected = self._cases[case](self, name)
        except AbortedError:
            return
        except Exception as failure:  # a case that can't be applied is told, and must not end the others
            ended, sentence, is_expected = "Unfinished", f"{type(failure).__name__}: {failure}", False
        ending = Ending(
            case=case,
            ended=ended,
            sentence=sentence[:1000],
            is_expected=is_expected,
            seconds=round(self._log.now_s() - began_s, 1),
        )
        with self._lock:
            self.endings.append(ending)
        self._log.say("hostile" if is_expected else "wrong", f"{name}: {case}: {ended}: {sentence.strip()}")

    def bad_job(self, make: Make, name: str) -> tuple[str, str, bool]:
        """A job that is to be refused, or to be Failed with a sentence."""
        is_taken, told = self.create(make(self.cluster, name))
        if not is_taken:
            return "Refused", told, any(words in told for words in REFUSED)
        return self._failed(name)

    def lying_job(self, name: str) -> tuple[str, str, bool]:
        """A job whose workers lie, and beside them pods and a Job that say they are its own."""
        is_taken, told = self.create(liar(self.cluster, name))
        assert is_taken, told
        works = self.until(lambda: self.cluster.items("jobs", f"dueby.dev/job={name},dueby.dev/step=work"))
        if works:
            uid = self.cluster.get("infj", name)["metadata"]["uid"]
            work = works[0]["metadata"]
            for document in hangers_on(work["name"], work["uid"], name, uid):
                self.create(document)
        return self._failed(name)

    def planted_names(self, name: str) -> tuple[str, str, bool]:
        """A good job of which somebody has taken the name of the finish step, until it says so."""
        document = hostile_job(self.cluster, name, deadline="15m")
        is_taken, told = self.create(document)
        assert is_taken, told
        made = planted(self.until(lambda: self.cluster.get("infj", name)))
        for each in made:
            self.create(each)
        said = self.until(lambda: self._taken_message(name))
        for each in made:
            self.delete(each["kind"].lower(), each["metadata"]["name"])
        status = self.over(name, 15 * 60 + MAX_LATE_S).get("status", {})
        self.delete("infj", name)
        phase = status.get("phase", "Unfinished")
        return phase, said or "never said whose name is taken", phase == "Succeeded" and bool(said)

    def labelled(self, name: str) -> tuple[str, str, bool]:
        """Objects with our labels that nobody is to mind."""
        made = strangers()
        for each in made:
            self.create(each)
        self.world.over.wait(LEFT_S)
        for each in made:
            self.delete(each["kind"].lower(), each["metadata"]["name"])
        return "Survived", "judged of the whole run", True

    def _taken_message(self, name: str) -> str:
        """What the job says of a name that is taken."""
        conditions = self.cluster.get("infj", name).get("status", {}).get("conditions", [])
        return next((each["message"] for each in conditions if each["reason"] == "NameTaken"), "")

    def _failed(self, name: str) -> tuple[str, str, bool]:
        """How the job ends, which is to be Failed with a sentence; it is taken away."""
        status = self.over(name, DEADLINE_S + MAX_LATE_S).get("status", {})
        self.delete("infj", name)
        phase = status.get("phase", "")
        failed: Document = next((each for each in status.get("conditions", []) if each["type"] == "Failed"), {})
        sentence = failed.get("message", "") or status.get("message", "")
        ended = phase if phase in ("Failed", "Succeeded") else "Unfinished"
        return ended, f"{failed.get('reason', phase)}: {sentence}", ended == "Failed" and bool(sentence)

    def over(self, name: str, limit_s: float) -> Document:
        """The job once it is over, or when it should have been for long."""

        def over() -> Document | None:
            document = self.cluster.get("infj", name)
            return document if document.get("status", {}).get("phase") in ("Succeeded", "Failed") else None

        found: Document = self.until(over, limit_s) or seen(lambda: self.cluster.get("infj", name)) or {}
        return found

    def until(self, holds: Callable[[], Any], limit_s: float = DEADLINE_S) -> Any:
        """The first true answer; None if there is none for so long."""
        give_up_s = self._log.now_s() + limit_s
        while self._log.now_s() < give_up_s:
            try:
                if found := seen(holds):
                    return found
            except NotFoundError:  # not yet, or not any more
                pass
            if self.world.aborted.wait(LOOK_S):
                raise AbortedError
        return None

    def create(self, document: Mapping[str, Any]) -> tuple[bool, str]:
        """Create the object; whether the API server took it, and its words."""
        return insist(self.world, self.cluster, "create", "-f", "-", stdin=json.dumps(document))

    def delete(self, kind: str, name: str) -> None:
        insist(self.world, self.cluster, "delete", kind, name, "--wait=false", "--ignore-not-found")


Case = Callable[[HostileCases, str], tuple[str, str, bool]]
