"""Calls everything public with invalid arguments: `python -m reliability.fuzz AREA [--share 0.1] [--out FILE]`.

Runs in a separate process without the tests' run-time type checks and strict type promotion, as for users.
"""

import argparse
import collections
import dataclasses
import gc
import json
import time
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np

from .judge import SAME, Answer, Recipe, Verdict, agree, of_error
from .perturb import Case, stack


@dataclasses.dataclass(frozen=True)
class Finding:
    """An input and its outcome."""

    callable: str
    label: str
    verdict: Verdict
    detail: str


def fuzz(recipe: Recipe, share: float = 1.0, pairs: int = 0, rng: np.random.Generator | None = None) -> list[Finding]:
    """Outcomes of all cases of all arguments (or a share), of random pairs, and of traced ones in one batch."""
    rng = np.random.default_rng(0) if rng is None else rng
    usual = recipe.answer(recipe.defaults())
    if recipe.flag(usual) or not np.all(usual.okay):
        raise AssertionError(f"{recipe.title}: the recipe's own arguments do not work")
    tried = [{name: case} for name, kind in recipe.arguments.items() for case in kind.cases()]
    tried = [changes for changes in tried if rng.random() < share * recipe.share]
    for _ in range(pairs if len(recipe.arguments) > 1 else 0):
        names = rng.choice(list(recipe.arguments), 2, replace=False)
        cases = {name: recipe.arguments[name].cases() for name in names}
        if all(cases.values()):
            tried.append({name: some[rng.integers(len(some))] for name, some in cases.items()})
    findings = []
    for changes in tried:
        findings.append(_judge(recipe, usual, changes))
        if len(findings) % 32 == 0:
            forget_programs()
    return findings + (list(_batch(recipe, usual)) if recipe.traced else [])


def _label(changes: dict[str, Case]) -> str:
    return ", ".join(f"{name}: {case.label}" for name, case in changes.items())


def _judge(recipe: Recipe, usual: Answer, changes: dict[str, Case]) -> Finding:
    arguments = recipe.defaults() | {name: case.value for name, case in changes.items()}
    try:
        admissible = all(case.admissible for case in changes.values()) and recipe.fits(arguments)
    except Exception:  # the condition cannot even be asked
        admissible = False
    another_form = admissible and all(case.same for case in changes.values())  # of what is valid: a list, NumPy's float
    made = lambda verdict, detail="": Finding(recipe.title, _label(changes), verdict, detail)  # noqa: E731
    try:
        answer = recipe.answer(arguments)
    except Exception as error:
        if another_form:
            return made(Verdict.refused, f"{type(error).__name__}: {str(error).strip()[:160]}")
        verdict = of_error(error, [*recipe.arguments, *_fields(recipe.call)])
        return made(verdict, f"{type(error).__name__}: {str(error).strip()[:160]}")
    if answer.flagged(recipe.ignore) or recipe.flag(answer):
        return made(Verdict.refused if another_form else Verdict.flagged)
    if not admissible:
        return made(Verdict.silent, "outside the domain")
    if answer.spoiled(usual):
        return made(Verdict.flagged)
    wrong = recipe.check(arguments, answer)
    if not wrong and all(case.same and not (case.coarse and recipe.is_random) for case in changes.values()):
        plain = recipe.defaults() | {name: case.plain for name, case in changes.items()}
        wrong = agree(answer, recipe.answer(plain), SAME)
    return made(Verdict.silent if wrong else Verdict.verified, wrong)


def _fields(call: Any) -> Iterable[str]:
    return [f.name for f in dataclasses.fields(call)] if dataclasses.is_dataclass(call) else []


def _batch(recipe: Recipe, usual: Answer) -> Iterator[Finding]:
    """All rows of all arguments in one compiled program; between them the usual arguments, which must not change."""
    rows = [(name, case) for name, kind in recipe.arguments.items() for case in kind.rows()]
    if not rows:
        return
    names = list(dict.fromkeys(name for name, _ in rows))
    defaults = recipe.defaults()
    changed = [{}, *({name: case} for name, case in rows), {}]
    values = {n: [row[n].value if n in row else defaults[n] for row in changed] for n in names}
    run = eqx.filter_jit(eqx.filter_vmap(lambda traced: recipe.use(recipe.call(**(defaults | traced)))))
    made = lambda label, verdict, detail="": Finding(recipe.title, f"traced {label}", verdict, detail)  # noqa: E731
    try:
        found = Answer.of(run({n: stack(v) for n, v in values.items()}))
        quiet = Answer.of(run({n: stack([defaults[n]] * len(changed)) for n in names}))
    except Exception as error:
        yield made("batch", of_error(error, recipe.arguments), f"{type(error).__name__}: {str(error).strip()[:160]}")
        return
    for i, row in enumerate(changed):
        answer = found.row(i)
        if not row:  # the same beside invalid ones as without them
            wrong = agree(answer, quiet.row(i), recipe.beside) or agree(answer, usual, recipe.roundings)
            yield made(f"usual, row {i}", Verdict.silent if wrong else Verdict.verified, wrong)
            continue
        ((name, case),) = row.items()
        arguments = defaults | {name: case.value}
        if answer.flagged(recipe.ignore) or recipe.flag(answer):
            yield made(_label(row), Verdict.flagged)
        elif not (case.admissible and recipe.fits(arguments)):
            yield made(_label(row), Verdict.silent, "outside the domain")
        elif answer.spoiled(usual):
            yield made(_label(row), Verdict.flagged)
        else:
            wrong = recipe.check(arguments, answer) or _unlike_eager(recipe, arguments, answer)
            yield made(_label(row), Verdict.silent if wrong else Verdict.verified, wrong)


def _unlike_eager(recipe: Recipe, arguments: dict[str, Any], traced: Answer) -> str:
    """Differences between the answers for a traced and a concrete number; refusing it is no difference."""
    try:
        eager = recipe.answer(arguments)
    except Exception:
        return ""
    return "" if eager.flagged(recipe.ignore) else agree(traced, eager, recipe.roundings)


def forget_programs() -> None:
    """Clears compiled programs before they exhaust the memory maps of the process."""
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > 15_000:
        jax.clear_caches()
        gc.collect()


def _areas_of(callables: list[str] | None) -> list[str]:
    return list(dict.fromkeys(name.split(".")[0] for name in callables or []))


def main() -> None:
    from .recipes import AREAS

    parser = argparse.ArgumentParser()
    parser.add_argument("areas", nargs="*", help="names of areas, all without any")
    parser.add_argument("--only", default="", help="callables whose names contain this")
    parser.add_argument("--exactly", nargs="*", help="names of callables")
    parser.add_argument("--share", type=float, default=1.0, help="of the cases, drawn at random")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="", help="a JSON file for the findings")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(options.seed)
    made: dict[str, list[dict]] = {}
    try:
        for area in options.areas or _areas_of(options.exactly) or AREAS:
            made[area] = []
            for recipe in AREAS[area]():
                recipe = dataclasses.replace(recipe, title=f"{area}.{recipe.call.__name__}")
                if options.only in recipe.title and (not options.exactly or recipe.title in options.exactly):
                    started = time.perf_counter()
                    findings = fuzz(recipe, options.share, options.pairs, rng)
                    forget_programs()
                    made[area] += [dataclasses.asdict(f) for f in findings]
                    counts = collections.Counter(f.verdict.value for f in findings)
                    print(f"{recipe.title}: {time.perf_counter() - started:.1f} s {dict(counts)}", flush=True)
                    for f in findings:
                        if f.verdict in (Verdict.silent, Verdict.refused):
                            print(f"  {f.verdict}: {f.label}: {f.detail}")
    finally:
        if options.out:
            with open(options.out, "w") as file:
                json.dump(made, file)


if __name__ == "__main__":
    main()
