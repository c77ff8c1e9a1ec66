"""`python -m dueby_operator.check`: whether an operator is well, as `helm test` asks it, with what to do if it isn't.

It asks what kubelet and Prometheus ask, over the network and without credentials: the probe, and the page of metrics.
An operator that has just started is given a while for its first look at the cluster.
"""

import argparse
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable

from dueby_operator.metrics import LAST_GOOD_LOOK, Metrics

TIMEOUT_S = 5.0
PAUSE_S = 1.0
PREFIX = "dueby_"
Read = Callable[[str], str]


class Unwell(Exception):
    """What is wrong with the operator, and what to do."""


def main() -> int:
    """0 where all is well, 1 with a sentence where it isn't."""
    parser = argparse.ArgumentParser(prog="python -m dueby_operator.check", description="Whether an operator is well.")
    parser.add_argument("--health", required=True, metavar="URL", help="its probe, such as http://HOST:8081/healthz")
    parser.add_argument("--metrics", required=True, metavar="URL", help="its metrics: http://HOST:8080/metrics")
    parser.add_argument("--patience", type=float, default=30.0, metavar="SECONDS", help="how long to try")
    options = parser.parse_args()
    give_up_s = time.monotonic() + options.patience
    while True:
        try:
            print(check(options.health, options.metrics, read=read))
            return 0
        except Unwell as unwell:
            if time.monotonic() > give_up_s:
                print(f"The operator is not well: {unwell}", file=sys.stderr)
                return 1
            time.sleep(PAUSE_S)


def check(health: str, metrics: str, *, read: Read) -> str:
    """What is well, in a sentence; Unwell otherwise. `read` gets a page."""
    read(health)
    page = read(metrics)
    if missing := sorted(families_of(Metrics().page()) - families_of(page)):
        raise Unwell(f"{metrics} lacks {', '.join(missing)}; does an operator of this version answer there?")
    looks = next(line for line in page.splitlines() if line.startswith(f"{LAST_GOOD_LOOK} "))
    if not float(looks.split()[1]):
        raise Unwell("it has not had a look at the cluster that went well; its log says why (kubectl logs)")
    return "The operator is well: it answers its probe, shows its metrics and has looked at the cluster."


def families_of(page: str) -> set[str]:
    """The names of our metrics on a page."""
    names = (line.split()[2] for line in page.splitlines() if line.startswith("# TYPE "))
    return {name for name in names if name.startswith(PREFIX)}


def read(url: str) -> str:
    """The page; Unwell where there is none."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        raise Unwell(f"{url} answers {error.code}: {error.read().decode(errors='replace')[:500]}") from None
    except (OSError, ValueError) as error:
        raise Unwell(f"{url} doesn't answer ({error}); see its pod (kubectl describe) and its log") from None


if __name__ == "__main__":
    sys.exit(main())
