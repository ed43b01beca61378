"""`python -m tools.lab.simulation`: run the real code in simulated worlds, until a promise is broken.

Every world follows from its seed. A failure is shrunk, and the command that replays it is printed.
"""

import os
import sys

if os.environ.get("PYTHONHASHSEED") != "0":  # the order of sets of strings must not differ between two runs
    os.environ["PYTHONHASHSEED"] = "0"
    os.execv(sys.executable, [sys.executable, "-m", "tools.lab.simulation", *sys.argv[1:]])  # noqa: S606

import argparse
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path

from tools.lab.simulation import coverage, plan, shrink
from tools.lab.simulation.laboratory import Job, Laboratory, Result
from tools.lab.simulation.machine import virtual
from tools.lab.simulation.mutations import MUTATIONS
from tools.lab.simulation.plan import Step

HOUR_S = 3600


def main() -> int:
    """Return 1 if a promise was broken, or a mutation was not found."""
    options = _options()
    with Laboratory.open(options.processes) as laboratory:
        if options.replay:
            return replay(laboratory, options.replay, options.mutation)
        if options.mutations is not None:
            return find_mutations(laboratory, options.mutations or list(MUTATIONS), options.seed)
        return explore(laboratory, options.seed, options.seconds, options.runs, options.mutation)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.lab.simulation", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long to run, in real time")
    parser.add_argument("--runs", type=int, default=sys.maxsize, help="at most this many simulations")
    parser.add_argument("--seed", type=int, default=1, help="the seed of the first simulation; the next has the next")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="simulations at a time")
    parser.add_argument("--replay", help="a seed, or the file of a shrunk plan: run it and print its history")
    parser.add_argument("--mutation", default="", choices=["", *MUTATIONS], help="put this known fault back")
    parser.add_argument("--mutations", nargs="*", metavar="NAME", help="find these known faults; without names, all")
    return parser.parse_args()


class Totals:
    """What all simulations have done together."""

    def __init__(self) -> None:
        self.began = virtual.real_monotonic()
        self.runs = self.faults = self.statements = self.steps = self.reads = self.events = 0
        self.virtual_s = 0.0
        self.covered: set[coverage.Point] = set()
        self.known = len(coverage.points())

    @property
    def seconds(self) -> float:
        return virtual.real_monotonic() - self.began

    def add(self, result: Result) -> None:
        self.runs += 1
        self.faults += result.faults
        self.statements += result.statements
        self.steps += result.steps
        self.reads += result.reads
        self.events += result.events
        self.virtual_s += result.virtual_s
        self.covered |= coverage.covered(result.points)

    def __str__(self) -> str:
        seconds = max(self.seconds, 0.01)
        return (
            f"{self.runs} runs ({self.runs / seconds:.2f}/s)  {self.virtual_s / HOUR_S:.2f} virtual hours "
            f"({self.virtual_s / seconds:.0f} times as fast)  {self.faults} faults  {self.events} events  "
            f"{self.reads} reads  {self.statements} statements  await points {len(self.covered)}/{self.known}"
        )


def explore(laboratory: Laboratory, seed: int, seconds: float, runs: int, mutation: str) -> int:
    """Run seeds until the time is over, or one fails."""
    totals = Totals()

    def seeds() -> Iterator[Job]:
        for number in count():
            if totals.seconds > seconds or number >= runs:
                return
            yield Job(seed + number, mutation=mutation)

    failed: Result | None = None
    for result in laboratory.run_all(seeds()):
        totals.add(result)
        print(f"\r{totals}", end="\n" if not sys.stdout.isatty() and totals.runs % 20 == 0 else "", flush=True)
        if not result.is_good:
            failed = result
            break
    print(f"\r{totals}")
    if failed is None:
        return 0
    report(laboratory, failed, mutation)
    return 1


def report(laboratory: Laboratory, failed: Result, mutation: str) -> None:
    """Print what was broken, and the shortest plan that breaks it."""
    print(f"\nseed {failed.seed}:")
    _print_findings(failed)
    if failed.failure:
        return
    shortest = shrunk(laboratory, failed, mutation)
    path = Path(f"simulation-{failed.seed}.json")
    shrink.write(path, failed.seed, mutation, shortest)
    print(f"\nshrunk to {len(shortest)} steps:")
    for step in shortest:
        print(f"  {step}")
    print(f"\nreplay: make simulate RUN={path}")


def shrunk(laboratory: Laboratory, failed: Result, mutation: str) -> list[Step]:
    """Return the shortest plan found with which one of the same promises is broken."""

    def fails(candidates: Iterable[Sequence[Step]]) -> Iterator[tuple[Sequence[Step], bool]]:
        for candidate in candidates:
            result = laboratory.run(Job(failed.seed, candidate, mutation))
            yield candidate, bool(result.promises & failed.promises)

    return shrink.shrink(plan.make(failed.seed), fails)


def replay(laboratory: Laboratory, what: str, mutation: str) -> int:
    """Run one simulation, and print its plan, its history and its findings."""
    if what.isdigit():
        seed, steps = int(what), plan.make(int(what))
    else:
        seed, mutation, steps = shrink.read(Path(what))
    result = laboratory.run(Job(seed, steps, mutation, keeps_history=True))
    print(*result.history, sep="\n")
    print(f"\nhash {result.digest}  {result.virtual_s:.1f} virtual s in {result.real_s:.1f} s")
    _print_findings(result)
    return int(not result.is_good)


def find_mutations(laboratory: Laboratory, names: Sequence[str], seed: int) -> int:
    """Put each known fault back, and count the runs until it is found."""
    missed = 0
    for name in names:
        mutation = MUTATIONS[name]
        runs, found = 0, None
        for result in laboratory.run_all(Job(seed + number, mutation=name) for number in range(mutation.runs)):
            runs += 1
            if result.failure:
                _print_findings(result)
            if result.promises & set(mutation.promises):
                found = result
                break
        if found is None:
            missed += 1
            print(f"{name:<20} NOT FOUND in {runs} runs: {mutation.says}", flush=True)
        else:
            text = next(each for each in found.violations if each.partition(":")[0] in mutation.promises)
            print(f"{name:<20} found in {runs} runs, seed {found.seed}: {text[:120]}", flush=True)
    return int(missed > 0)


def _print_findings(result: Result) -> None:
    for violation in result.violations:
        print(f"  {violation}")
    for error in result.errors:
        print(f"  (unhandled: {error})")
    if result.failure:
        print(result.failure)


if __name__ == "__main__":
    sys.exit(main())
