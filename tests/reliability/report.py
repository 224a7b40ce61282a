"""The reliability report: what the fuzzing and the fault runs found, as a table at the end of the tests."""

import collections
from typing import Any

import pytest

COLUMNS = (
    "callables",
    "inputs",
    "clear errors",
    "flagged",
    "verified answers",
    "obscure errors",
    "refused though valid",
    "silent wrong answers",
)


class Report:
    """A plugin of pytest: gathers the figures that tests leave in their properties, from all workers of xdist."""

    def __init__(self, config: pytest.Config):
        self.path = config.getoption("--reliability-report")
        self.areas: dict[str, dict[str, int]] = {}
        self.tried: collections.Counter[str] = collections.Counter()
        self.survived: collections.Counter[str] = collections.Counter()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            if mark := item.get_closest_marker("fault"):
                item.user_properties.append(("fault", [*mark.args]))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        found: dict[str, Any] = dict(report.user_properties)
        if report.when == "call" and "fuzz" in found:
            for area, counts in found["fuzz"].items():  # a sample says nothing beside the whole
                self.areas[area] = max(self.areas.get(area, counts), counts, key=lambda x: x["inputs"])
        if report.when == "call" and "fault" in found and not report.skipped:
            ((area,), faults) = found["fault"], found.get("faults", 1)
            self.tried[area] += faults
            self.survived[area] += faults * report.passed

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        tables = [x for x in (self.inputs(), self.faults()) if x]
        for lines in tables:
            terminalreporter.section("reliability")
            for line in lines:
                terminalreporter.write_line(line)
        if self.path and tables:
            with open(self.path, "w", encoding="utf-8") as file:
                file.write("\n".join("\n".join(lines) + "\n" for lines in tables))

    def inputs(self) -> list[str]:
        """The table of inputs, as Markdown."""
        if not self.areas:
            return []
        rows = [[name, *(found.get(column, 0) for column in COLUMNS)] for name, found in sorted(self.areas.items())]
        return _table(("area", *COLUMNS), rows)

    def faults(self) -> list[str]:
        """The table of faults, as Markdown."""
        rows = [[area, n, self.survived[area]] for area, n in sorted(self.tried.items())]
        return _table(("what breaks", "faults", "survived"), rows) if rows else []


def _table(header: tuple[str, ...], rows: list[list[Any]]) -> list[str]:
    total = ["all", *map(sum, zip(*(row[1:] for row in rows), strict=True))]
    cells = [list(header), *([str(x) for x in row] for row in [*rows, total])]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["| " + " | ".join(x.ljust(w) for x, w in zip(row, widths, strict=True)) + " |" for row in cells]
    return [lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines[1:]]
