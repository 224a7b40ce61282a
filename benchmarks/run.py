"""All benchmarks by one command: `python benchmarks/run.py` (`--help`). What it writes: see `README.md` here."""

import argparse
import json
import shlex
import sys
import time
from pathlib import Path

import cases
import figures
import first_call
import jax
import limits
import numpy as np
import report
from measure import Row, float64, measure
from problems import Scaling

PICTURE = Path(__file__).parent / "scaling.png"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measures the machine and every benchmark; prints and writes a table.")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that everything runs")
    parser.add_argument("--only", metavar="NAME", help="only rows and curves with this in their name")
    parser.add_argument(
        "--output", metavar="DIR", type=Path, default=Path("benchmark-results"), help="default: %(default)s"
    )
    parser.add_argument("--hamux-python", metavar="PATH", help="an interpreter that has hamux and fastcore")
    parser.add_argument("--readme", action="store_true", help="write table and figure into benchmarks/ as well")
    parser.add_argument("--no-curves", action="store_true", help="leave out the scaling curves")
    parser.add_argument("--no-first-calls", action="store_true", help="leave out first calls, in their own processes")
    return parser.parse_args()


def chosen(only: str | None, *texts: str) -> bool:
    return only is None or any(only.lower() in text.lower() for text in texts)


def curve(scaling: Scaling, bound: limits.Limits, budget: float) -> tuple[dict, list[Row]]:
    """Its points as measured; those that failed are left out, and returned."""
    x, y, least, failed = [], [], [], []
    for size, bench in scaling.points:
        row = measure(bench, bound, budget)
        jax.clear_caches()
        if row.failed:
            row.what = f"{scaling.panel}, {scaling.label}"
            failed.append(row)
            continue
        x.append(size)
        y.append(1 / row.each if scaling.rate else row.each)
        least.append(bound.least(bench.work, row.times.planned) / bench.count if bench.work is not None else 0.0)
        print(f"  {scaling.panel}, {scaling.label}: {scaling.x} {size:g}, {report.duration(row.each)}", flush=True)
    fitted = min(3, len(x))
    positive = fitted > 1 and min(y[-fitted:]) > 0
    slope = float(np.polyfit(np.log(x[-fitted:]), np.log(y[-fitted:]), 1)[0]) if positive else None
    found = {
        "panel": scaling.panel, "label": scaling.label, "xlabel": scaling.x, "rate": scaling.rate,
        "order": scaling.order, "x": x, "y": y, "least": least, "slope": slope, "fitted": fitted,
    }  # fmt: skip
    return found, failed


def main() -> int:
    given = arguments()
    if given.readme and (given.quick or given.only or given.no_curves or given.no_first_calls):
        print("--readme is for the whole of it: without --quick, --only and --no-...", file=sys.stderr)
        return 2
    began = time.perf_counter()
    about = limits.machine() | {"command": shlex.join(["python", "benchmarks/run.py", *_shown(sys.argv[1:])])}
    print(json.dumps(about, indent=1), flush=True)
    bound = limits.limits(given.quick, float64)
    print(bound, flush=True)
    options = cases.Options(given.quick, given.hamux_python)
    rows: list[Row] = []
    curves: list[dict] = []
    given.output.mkdir(parents=True, exist_ok=True)

    def save(picture: str | None = None) -> str:
        about.update(load_average_after=limits.load(), seconds=time.perf_counter() - began)
        text = report.page(about, bound, rows, picture)
        (given.output / "results.json").write_text(report.as_json(about, bound, rows, curves), encoding="utf-8")
        (given.output / "table.md").write_text(text + "\n", encoding="utf-8")
        return text

    seen: set[str] = set()
    for index, bench in enumerate(cases.benches(options)):
        if chosen(given.only, bench.name, bench.what):
            row = measure(bench, bound, 0.5 if given.quick else 2.0)
            jax.clear_caches()
            rows.append(row)
            if row.times.compile is not None and not given.no_first_calls and bench.name not in seen:
                seen.add(bench.name)
                try:
                    row.first = first_call.measure(index, given.quick)
                except RuntimeError as error:
                    row.failed = row.failed or f"its first call: {error}"
            print("\n".join(" | ".join(cell for cell in line if cell) for line in report.lines(row)), flush=True)
            save()
    for scaling in cases.scalings(options):
        if not given.no_curves and chosen(given.only, scaling.panel, scaling.label):
            found, failed = curve(scaling, bound, 0.2 if given.quick else 1.0)
            curves.append(found)
            rows += failed
            save()
    text = save()
    if curves:
        figures.draw(curves, rows, about, given.output / "scaling.png")
        text = save("scaling.png")
    print("\n" + text)
    if given.readme:
        report.write_readme(text)
        PICTURE.write_bytes((given.output / "scaling.png").read_bytes())
    bad = [row for row in rows if row.failed]
    print(f"\n{len(rows)} rows, {len(bad)} failed; written to {given.output}/", file=sys.stderr)
    return bool(bad)


def _shown(given: list[str]) -> list[str]:
    """The command line without paths of this machine."""
    return ["PATH" if before == "--hamux-python" else word for before, word in zip(["", *given], given, strict=False)]


if __name__ == "__main__":
    sys.exit(main())
