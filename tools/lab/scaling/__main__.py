"""`python -m tools.lab.scaling`: compute and simulate from the measurements, and write the tables into
docs/scaling.md. `measure` first repeats that page's own measurements, with its own stack; `check` compares the
simulation with a real gateway."""

import argparse
import sys
from collections.abc import Callable

from tools.lab.bench.bed import bed
from tools.lab.bench.conditions import Scale
from tools.lab.bench.report import Report, write
from tools.lab.scaling import check, measure
from tools.lab.scaling.capacity import capacity, limits
from tools.lab.scaling.figures import SCALING, Measured, measured
from tools.lab.scaling.picture import picture
from tools.lab.scaling.simulate import backlog, busy, hot_users, lost_zone, whole_dashboard

TABLES: dict[str, Callable[[Measured], str]] = {
    "capacity": capacity,
    "limits": limits,
    "busy": busy,
    "dashboard": whole_dashboard,
    "hot-users": lambda _: hot_users(),
    "lost-zone": lost_zone,
    "backlog": lambda _: backlog(),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.lab.scaling", description=__doc__)
    parser.add_argument("what", nargs="?", choices=["simulate", "measure", "check"], default="simulate")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each measurement")
    options = parser.parse_args()
    if options.what == "measure":
        with bed() as ground:
            for report in measure.run(ground, Scale(rounds=options.rounds)):
                _say_and_write(report)
    if options.what == "check":
        with bed() as ground:
            _say_and_write(check.run(ground, Scale(rounds=options.rounds)))
        return 0
    for name, make in TABLES.items():
        _say_and_write(Report(name, [make(measured())]))
    picture(measured())
    return 0


def _say_and_write(report: Report) -> None:
    print(f"## {report.name}\n\n{report.text}\n", flush=True)
    write(report, SCALING)


if __name__ == "__main__":
    sys.exit(main())
