"""What was measured, as JSON and as the table of `README.md`."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from limits import MIB, Limits
from measure import Row, Times

README = Path(__file__).parent / "README.md"
BEGIN, END = "<!-- written by run.py: begin -->", "<!-- written by run.py: end -->"
HEADER = (
    "what", "size", "compile", "first call (from the cache)", "run, fastest (median)", "memory",
    "baseline", "its time", "times ours", "apart", "rate",
)  # fmt: skip


def duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if abs(seconds) * factor >= 1 or unit == "µs":
            return f"{three(seconds * factor)} {unit}"
    raise AssertionError


def three(x: float) -> str:
    """Three digits, without an exponent up to a million."""
    return f"{x:.0f}" if abs(x) >= 100 else f"{x:.3g}"


def _memory(times: Times) -> str:
    parts = [f"{three(x / MIB)}" if x is not None else "–" for x in (times.planned, times.growth)]
    return "–" if parts == ["–", "–"] else " / ".join(parts) + " MiB"


def _times(times: Times) -> str:
    return f"{duration(times.fastest)} ({duration(times.median)})" if times.seconds else "–"


def lines(row: Row) -> list[list[str]]:
    """A line a baseline; only the first says what is ours."""
    run = _times(row.times)
    if row.unit and row.times.seconds:
        run += f", {duration(row.each)} a{'n' * (row.unit[0] in 'aeiou')} {row.unit}"
        run += f", {three(1 / row.each)} calls/s" * (row.unit == "call")
    share = f"{row.rate}, {100 * row.share:.0f} %" if row.share is not None else ""
    ours = [row.what, row.size, duration(row.times.compile), _first(row), run, _memory(row.times)]
    if row.failed:
        ours[4] = f"failed: {row.failed}"
    out = []
    for other in row.others:
        cells = [other.name, other.missing, "", ""]
        if other.times is not None and other.times.seconds:
            cells[1] = _times(other.times)
            if other.times.planned is not None or other.times.growth:
                cells[1] += f", {_memory(other.times)}"
            if (ratio := row.ratio(other)) is not None:
                cells[2] = three(ratio)
        if other.error is not None:
            cells[3] = f"{other.error:.1g} ≤ {other.tolerance:.1g}"
        out.append([*([""] * 6 if out else ours), *cells, "" if out else share])
    out = out or [[*ours, "", "", "", "", share]]
    bold = row.failed or row.slower
    return [[f"**{cell}**" if bold and cell else cell for cell in line] for line in out]


def _first(row: Row) -> str:
    if row.first is None:
        return "–"
    parts = " + ".join(three(x) for x in (row.first.imported, row.first.traced, row.first.compiled))
    return f"{parts} s ({three(row.first.again)} s)"


def table(rows: list[Row]) -> str:
    whole = [HEADER, ("---",) * len(HEADER), *(line for row in rows for line in lines(row))]
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in whole)


def heading(about: dict[str, Any], limits: Limits) -> str:
    """Where, when and within what limits."""
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    memory = f", {about['memory_gib']:.0f} GiB" if about["memory_gib"] else ""
    loads = [about[f"load_average_{when}"] for when in ("before", "after")]
    load = " and ".join("unknown" if x is None else f"{x:.2f}" for x in loads)
    quiet = ""
    if loads[0] is not None:
        quiet = (
            ": **other jobs ran beside it, so that times are upper bounds**" if loads[0] > 0.5 else ": an idle machine"
        )
    blas = f" OPENBLAS_CORETYPE={about['openblas_coretype']} slows NumPy." if about["openblas_coretype"] else ""
    sets = ", ".join(f"{speed / 1e9:.3g} at {size / MIB:g} MiB" for size, speed in limits.bandwidth.items())
    return (
        f"Measured on {about['date']} by `{about['command']}` in {about['seconds'] / 60:.0f} minutes.\n"
        f"Device: {about['device']} ({about['num_devices']}); processor: {about['processor']}, {about['cores']} cores"
        f"{memory}; {about['system']}, Python {about['python']}, {versions}.\n"
        f"Load average before and after: {load}{quiet}.{blas}\n\n"
        f"Limits of the device through XLA: a product of large matrices {limits.flops32 / 1e9:.3g} GFlop/s in float32, "
        f"{limits.flops64 / 1e9:.3g} in float64; memory by working set, GB/s: {sets}."
    )


def page(about: dict[str, Any], limits: Limits, rows: list[Row], picture: str | None) -> str:
    failed = [row for row in rows if row.failed]
    parts = [heading(about, limits), table(rows)]
    if failed:
        parts.append("Failed: " + "; ".join(f"{row.what} ({row.size}): {row.failed}" for row in failed) + ".")
    if picture is not None:
        parts.append(f"![Times against sizes, and how many times as long baselines take]({picture})")
    return "\n\n".join(parts)


def write_readme(text: str, readme: Path = README) -> None:
    """Replaces what stands between the two marks."""
    before, begin, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{readme}: expected the lines '{BEGIN}' and '{END}'")
    readme.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def as_json(about: dict[str, Any], limits: Limits, rows: list[Row], curves: list[dict]) -> str:
    content = {"machine": about, "limits": dataclasses.asdict(limits), "curves": curves}
    content["limits"]["bandwidth"] = {f"{size / MIB:g} MiB": x for size, x in limits.bandwidth.items()}
    content["rows"] = [
        dataclasses.asdict(row) | {"ratios": {other.name: row.ratio(other) for other in row.others}} for row in rows
    ]
    return json.dumps(content, indent=1)
