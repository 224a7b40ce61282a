"""The machinery of `benchmarks/`: results are compared before they are timed, and a failed row does not end a run."""

import time

import first_call
import jax.numpy as jnp
import numpy as np
import pytest
from cases import Options, benches, scalings
from first_call import FirstCall
from limits import Limits, Work
from measure import Row, measure
from problems import Baseline, Bench, Call, Missing, Problem, largest
from report import BEGIN, END, _first, lines, table, write_readme

LIMITS = Limits(flops32=2e9, flops64=1e9, bandwidth={1e6: 4e9, 1e8: 1e9})


def absent() -> Call:
    raise Missing("not installed")


def bench(*baselines: Baseline, function=jnp.cumsum) -> Bench:
    problem = Problem(Call(function, (jnp.arange(8.0),)), baselines)
    return Bench("sums", "Sums", "8 numbers", lambda: problem, Work(flops=8.0), count=8, unit="number")


def of_numpy(add: float) -> Baseline:
    return Baseline("NumPy", Call(lambda: np.cumsum(np.arange(8.0)) + add, compiled=False, part=0.5), largest, 1e-6)


def test_a_row_with_its_baselines():
    row = measure(bench(of_numpy(0.0), Baseline("other", absent, largest, 1.0)), LIMITS, budget=0.0)
    assert not row.failed and row.times.compile and len(row.times.seconds) == 2
    numpy, other = row.others
    assert numpy.error == 0 and numpy.times is not None and len(numpy.times.seconds) == 2
    assert row.ratio(numpy) is not None and row.ratio(other) is None and other.missing == "not installed"
    assert row.share == pytest.approx(8 / 2e9 / row.times.fastest)
    row.times.seconds, numpy.times.seconds = [1.0, 1.0], [2.0, 2.0]
    first, second = lines(row)
    assert first[0] == "Sums" and "a number" in first[4] and second[:6] == [""] * 6
    numpy.times.seconds = [0.5, 0.5]  # a row in bold is one that something else does faster
    assert lines(row)[0][0] == "**Sums**" and lines(row)[1][0] == ""
    assert len({line.count("|") for line in table([row]).splitlines()}) == 1


@pytest.mark.parametrize("add", [1e-3, np.nan])
def test_a_row_whose_baseline_disagrees_fails_and_is_not_timed(add):
    row = measure(bench(of_numpy(add)), LIMITS, budget=0.0)
    assert "disagrees with NumPy" in row.failed and not row.times.seconds and row.share is None
    assert "**failed: disagrees" in table([row])


def test_a_row_that_raises_says_why():
    def broken(x):
        raise RuntimeError("no such thing\nand more")

    assert measure(bench(function=broken), LIMITS).failed == "RuntimeError: no such thing"


@pytest.mark.slow
def test_a_first_call_is_quicker_from_the_cache():
    names = [bench.name for bench in benches(Options(quick=True))]
    found = first_call.measure(names.index("synchronous"), quick=True)
    assert min(found.imported, found.traced, found.compiled) > 0
    assert found.again < found.imported + found.traced + found.compiled + 1
    assert _first(Row("a", "A", "1", first=FirstCall(1.0, 0.5, 2.0, 1.8))) == "1 + 0.5 + 2 s (1.8 s)"


def test_the_binding_limit():
    assert LIMITS.least(Work(flops=2e9, bytes=1e9), 1e6) == 1  # in the cache the products bind,
    assert LIMITS.least(Work(flops=2e9, bytes=3e9)) == 3  # from memory the bandwidth
    assert LIMITS.least(Work(flops=2e9, wide=True)) == 2
    assert LIMITS.share(Work(flops=1.0, bytes=3e9), 6.0) == ("0.5 GB/s", 0.5)


@pytest.mark.parametrize("quick", [False, True])
def test_models_of_work_are_finite_and_rows_have_names_of_their_own(quick):
    options = Options(quick)
    rows = benches(options)
    points = [bench for curve in scalings(options) for _, bench in curve.points]
    work = [bench.work for bench in (*rows, *points) if bench.work is not None]
    assert work and all(np.isfinite([w.flops, w.bytes]).all() and w.flops > 0 for w in work)
    assert len({(bench.what, bench.size) for bench in rows}) == len(rows)


def test_the_table_is_written_between_its_marks(tmp_path):
    page = tmp_path / "README.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_readme(table([Row("a", "A | B", "1", failed="why")]), page)
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text and "A / B" in text
    page.write_text("no marks")
    with pytest.raises(ValueError, match="expected the lines"):
        write_readme("", page)


def test_a_marginal_time_is_the_difference_of_two_runs():
    def waiting(seconds):
        return Call(lambda: time.sleep(seconds), compiled=False)

    def row(ours, smaller):
        problem = Problem(waiting(ours), (Baseline("smaller", waiting(smaller)),))
        return measure(Bench("wait", "Wait", "", lambda: problem, count=2, marginal=True), LIMITS, budget=0.2)

    assert 0.01 < row(0.06, 0.02).each < 0.05  # 0.02, but that sleeping takes longer on a busy machine
    assert "lost in the noise" in row(0.0, 0.02).failed
