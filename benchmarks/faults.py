"""Faults at every write, by seed: DueBy's operator, workers and steps in a simulated cluster, as fast as they compute.

    python benchmarks/faults.py --seeds 0-99,200        # in two processes; the failing seeds, and their last events
    python benchmarks/faults.py --seed 17 -v            # the same world again, with everything that happens in it

What is simulated, and what is DueBy's own code, is in tests/support/world and docs/decisions.
"""

import argparse
import contextlib
import io
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

if TYPE_CHECKING:
    from support.world.scenario import Outcome

LAST_EVENTS = 60


def run_one(seed: int, *, is_verbose: bool = False, mutation: str = "") -> "Outcome":
    """Run a seed in this process, with a bug in DueBy if one is named."""
    from support.world import mutations

    if mutation:
        mutations.install(mutation)
    from support.world import scenario, story

    story.prepare()
    with contextlib.redirect_stderr(io.StringIO()):
        return scenario.run_seed(seed, is_verbose=is_verbose, surely=mutations.SURELY.get(mutation, ()))


def run_all(seeds: Iterable[int], *, processes: int, mutation: str) -> Iterator["Outcome"]:
    """Yield the seeds' outcomes as they come."""
    if processes == 1:
        yield from map(partial(run_one, mutation=mutation), seeds)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(partial(run_one, mutation=mutation), seeds, chunksize=4)


def main() -> int:
    """Run the seeds; return 1 if anything is broken."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", default="0-99", metavar="A-B,C", type=seeds_of)
    parser.add_argument("--seed", type=int, help="one seed alone, in this process")
    parser.add_argument("-v", "--verbose", action="store_true", help="print what happens")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--mutation", default="", metavar="NAME", help="a bug of tests/support/world/mutations.py")
    parser.add_argument("--first", action="store_true", help="end with the first seed that breaks anything")
    options = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":
        # Sets are in the same order each time then.
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "PYTHONHASHSEED": "0"})
    if options.seed is not None:
        return report([run_one(options.seed, is_verbose=options.verbose, mutation=options.mutation)])
    return report(
        run_all(options.seeds, processes=options.processes, mutation=options.mutation), is_first=options.first
    )


def seeds_of(text: str) -> list[int]:
    """Return the seeds that a text such as `0-99,200` names."""
    ends = (part.partition("-") for part in text.split(","))
    return [seed for first, _, last in ends for seed in range(int(first), int(last or first) + 1)]


def report(outcomes: Iterable["Outcome"], *, is_first: bool = False) -> int:
    """Print how the worlds went."""
    began_s, done, broken, cpu_s, faults = time.monotonic(), 0, 0, 0.0, 0
    succeeded, failed, promised, reasons = 0, 0, 0, Counter[str]()
    for outcome in outcomes:
        done, cpu_s, faults = done + 1, cpu_s + outcome.cpu_s, faults + outcome.faults
        succeeded, failed, promised = (
            succeeded + outcome.succeeded,
            failed + outcome.failed,
            promised + outcome.promised,
        )
        reasons.update(outcome.reasons)
        if outcome.broken:
            broken += 1
            print(f"\nseed {outcome.seed}: {'; '.join(outcome.broken)}")
            print("\n".join(outcome.story[-LAST_EVENTS:]), flush=True)
            if is_first:
                break
        elif done % 50 == 0:
            print(f"{done} seeds, {broken} broken, {time.monotonic() - began_s:.0f} s", file=sys.stderr, flush=True)
    print(", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items())))
    print(
        f"{done} seeds, {faults} faults, {succeeded} jobs succeeded, {failed} failed, {promised} promised, "
        f"{broken} seeds broken; {cpu_s / max(done, 1):.2f} s of CPU a seed, {time.monotonic() - began_s:.0f} s"
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
