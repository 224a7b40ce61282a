"""The floors, the abstract-or-final rule and the bans of `docs/contributing.md`, read off the syntax of the package."""

import ast
import functools
import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = "hopfield_jax"
ROOT = Path(__file__).parent.parent / PACKAGE
# A module imports from lower floors, and on its own floor from its own folder or from names further left.
FLOORS = (
    ("_types", "_misc", "_progress", "_checks", "_results", "_roots"),
    ("_units", "_patterns", "_dynamics", "_couplings", "_synapses"),
    tuple("_integrate _steady_state _stability _lyapunov _threshold _follow _orbit _tune results sweep".split()),
    ("theory",),
    ("associative", "sequential", "dmft", "classical"),
    ("plot", "cli"),
)
AREAS = FLOORS[4]
FACES = FLOORS[5]
FACE_LIBRARIES = {"matplotlib", "typer", "tqdm", "sklearn", "PIL"}
STORE_LIBRARIES = {"xarray", "zarr"}  # what functions of sweep may import as well
SLOW_LIBRARIES = {"scipy.stats", "scipy.interpolate"}  # longer to import than the package itself
# They report jax.config, and set the number of a CPU's devices before JAX starts.
SETTINGS = ("cli._doctor", "cli._executors")
MAX_DEPTH = 8
MAX_LINES = {"function": 50, "module": 300}  # without docstrings
LONGER = {("sweep._run", "run"): 65, ("_integrate._solve", "integrate"): 60}  # mostly arguments
# Where an interval is halved: the one bracketing loop, and a root finder with Diffrax's interface.
HALVING = ("_roots", "_integrate._event")

Package = dict[str, ast.Module]  # syntax trees by dotted name below the package; "" is the package itself


def parse(sources: dict[str, str]) -> Package:
    return {name: ast.parse(text) for name, text in sources.items()}


def read_package() -> Package:
    names = {path: path.relative_to(ROOT).with_suffix("").parts for path in sorted(ROOT.rglob("*.py"))}
    return parse({".".join(p for p in parts if p != "__init__"): path.read_text() for path, parts in names.items()})


def room(module: str) -> str:
    """The file or folder next to `__init__`; `_public`, the list of all names, is part of the package itself."""
    return module.partition(".")[0].removeprefix("_public")


def is_folder(package: Package, module: str) -> bool:
    return (
        module == "" or (ROOT / module.replace(".", "/")).is_dir() or any(m.startswith(module + ".") for m in package)
    )


def imports(package: Package, module: str) -> set[str]:
    """The package's own modules that `module` imports, anywhere in its text."""
    found = set()
    for node in ast.walk(package[module]):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[2] for alias in node.names if alias.name.split(".")[0] == PACKAGE}
        elif isinstance(node, ast.ImportFrom):
            source = node.module.split(".") if node.module else []
            if node.level:
                here = module.split(".") if module else []
                source = here[: len(here) + is_folder(package, module) - node.level] + source
            elif source[0] == PACKAGE:
                source = source[1:]
            else:
                continue
            for alias in node.names:
                deeper = ".".join([*source, alias.name])
                found.add(deeper if deeper in package else ".".join(source))
    return found


def floor_errors(package: Package) -> Iterator[str]:
    place = {name: (f, i) for f, floor in enumerate(FLOORS) for i, name in enumerate(floor)}
    for module in package:
        if room(module) and room(module) not in place:
            yield f"{module} stands on no floor"
        for other in imports(package, module) if room(module) else ():
            here, there = place.get(room(module), (-1, 0)), place.get(room(other), (len(FLOORS), 0))
            if room(module) in AREAS and room(other) in AREAS and room(module) != room(other):
                yield f"{module} imports {other}: areas never import each other"
            elif room(other) != room(module) and there >= here and not (room(other) == "" and room(module) == "cli"):
                yield f"{module} imports {other}, which is not below it"


def reach_errors(package: Package) -> Iterator[str]:
    """A folder's private modules are imported by the folder alone; others import what its `__init__` names."""
    for module in package:
        for other in imports(package, module) & package.keys():
            folder, _, name = other.rpartition(".")
            if folder and name.startswith("_") and not module.startswith(folder) and room(module):
                yield f"{module} imports {other}, which is private to {folder}"


def unit_errors(package: Package) -> Iterator[str]:
    """Units are asked for what they are, not for their class: no `isinstance` of one outside their home."""
    home = [tree for module, tree in package.items() if room(module) == "_units"]
    units = {node.name for tree in home for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    for module, tree in package.items():
        nodes = list(ast.walk(tree)) if room(module) != "_units" else []
        theirs = {a.name for n in nodes if isinstance(n, ast.ImportFrom) and n.module == "_units" for a in n.names}
        for node in nodes:
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("isinstance", "issubclass"):
                names = {n.id for n in ast.walk(node.args[1]) if isinstance(n, ast.Name)} & theirs
                names |= {n.attr for n in ast.walk(node.args[1]) if isinstance(n, ast.Attribute)}
                for name in sorted(names & units):
                    yield f"{module}:{node.lineno} recognises {name} by its class"


def depth(package: Package) -> int:
    """Links in the longest chain of imports between rooms (a room is a file or a folder next to `__init__.py`)."""

    @functools.cache
    def below(name: str) -> int:
        others = {room(other) for m in package if room(m) == name for other in imports(package, m)} - {name}
        return max((1 + below(other) for other in others), default=0)

    return max(below(room(m)) for m in package)


def cycle_errors(package: Package) -> Iterator[str]:
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> Iterator[str]:
        if module in path:
            yield f"cycle: {' -> '.join([*path[path.index(module) :], module])}"
        elif module not in done:
            for other in imports(package, module) & package.keys():
                yield from visit(other, (*path, module))
            done.add(module)

    for module in package:
        yield from visit(module, ())


def class_errors(package: Package) -> Iterator[str]:
    """Abstract or final: no concrete class of the package has a subclass, no concrete method is written again."""
    trees = package.values()
    classes = {n.name: n for n in itertools.chain.from_iterable(map(ast.walk, trees)) if isinstance(n, ast.ClassDef)}

    def parents(cls: ast.ClassDef) -> list[str]:
        bases = [base.value if isinstance(base, ast.Subscript) else base for base in cls.bases]
        return [b.id for b in bases if isinstance(b, ast.Name) and b.id in classes and b.id != cls.name]

    def concrete_methods(name: str) -> dict[str, str]:
        inherited = {m: c for parent in parents(classes[name]) for m, c in concrete_methods(parent).items()}
        functions = [n for n in classes[name].body if isinstance(n, ast.FunctionDef) and n.name != "__check_init__"]
        return inherited | {
            f.name: name for f in functions if not any("abstract" in ast.dump(d) for d in f.decorator_list)
        }

    for name, cls in classes.items():
        for parent in parents(cls):
            if not parent.lstrip("_").startswith("Abstract") and parent not in ("Checked", "RESULTS"):
                yield f"{name} subclasses the concrete class {parent}"
            for method in concrete_methods(parent).keys() & concrete_methods(name).keys():
                if concrete_methods(name)[method] == name:
                    yield f"{name}.{method} overrides a method of {concrete_methods(parent)[method]}"


def ban_errors(package: Package) -> Iterator[str]:
    for module, tree in package.items():
        inside = {n for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for n in ast.walk(f) if n is not f}
        for node in ast.walk(tree):
            at = f"{module or PACKAGE}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import | ast.ImportFrom) and not getattr(node, "level", 0):
                source = getattr(node, "module", None)
                libraries = {name.split(".")[0] for name in ([source] if source else [a.name for a in node.names])}
                for library in libraries & (FACE_LIBRARIES | STORE_LIBRARIES):
                    here = FACES + ("sweep",) * (library in STORE_LIBRARIES) + ("_progress",) * (library == "tqdm")
                    if not (room(module) in here and (node in inside or (room(module), library) == ("cli", "typer"))):
                        yield f"{at} imports {library} where only functions of {', '.join(here)} do"
                if source == "__future__":
                    yield f"{at} imports from __future__"
                if source == "jax" and any(alias.name == "config" for alias in node.names):
                    yield f"{at} touches jax.config"
            elif isinstance(node, ast.Attribute) and ast.unparse(node) == "jax.config" and module not in SETTINGS:
                yield f"{at} touches jax.config"
            elif isinstance(node, ast.Assert):
                yield f"{at} asserts"
            elif isinstance(node, ast.Name) and node.id == "print":
                yield f"{at} prints"
            if "diffeqsolve" in (getattr(node, "attr", ""), getattr(node, "id", "")) and room(module) != "_integrate":
                yield f"{at} calls diffeqsolve outside _integrate"


def length_errors(package: Package) -> Iterator[str]:
    """Functions and modules are short enough to be read at once."""

    def lines(node: ast.AST) -> int:
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
        inside = [n for n in ast.walk(node) if isinstance(n, documented) and ast.get_docstring(n, clean=False)]
        last = max((getattr(n, "end_lineno", 0) for n in ast.walk(node)), default=0)
        texts = sum((n.body[0].end_lineno or 0) - n.body[0].lineno + 1 for n in inside)
        return last - getattr(node, "lineno", 1) + 1 - texts

    for module, tree in package.items():
        functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)]
        for kind, nodes in (("module", [tree]), ("function", functions)):
            for node in nodes:
                most = LONGER.get((module, getattr(node, "name", "")), MAX_LINES[kind])
                if (found := lines(node)) > most:
                    yield f"{module}: {kind} {getattr(node, 'name', module)} has {found} lines"


def bisection_errors(package: Package) -> Iterator[str]:
    """One bracketing loop: nowhere else does the middle of two numbers take the place of one of them."""
    for module, tree in package.items():
        functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)] if module not in HALVING else []
        for node in itertools.chain.from_iterable(map(ast.walk, functions)):
            match node:
                case ast.Assign(targets=[ast.Name(id=middle)], value=value) if ends := halved(value):
                    text = {
                        ast.unparse(n) for f in functions for n in ast.walk(f) if isinstance(n, ast.Call | ast.Assign)
                    }
                    for end in ends:
                        moved = (f", {middle}, {end})", f", {end}, {middle})")
                        if any(t.endswith(moved) and "where(" in t or t == f"{end} = {middle}" for t in text):
                            yield f"{module}:{node.lineno} bisects"


def halved(value: ast.expr) -> list[str]:
    """The two numbers whose middle an expression is, if it is one."""
    match value:
        case ast.BinOp(ast.Constant(0.5), ast.Mult(), ast.BinOp(a, ast.Add(), b)):
            return [ast.unparse(a), ast.unparse(b)]
        case ast.BinOp(ast.BinOp(a, ast.Add(), b), ast.Div() | ast.FloorDiv(), ast.Constant(2)):
            return [ast.unparse(a), ast.unparse(b)]
    return []


CHECKS = (
    floor_errors,
    cycle_errors,
    reach_errors,
    unit_errors,
    class_errors,
    ban_errors,
    length_errors,
    bisection_errors,
)


@pytest.mark.parametrize("check", CHECKS)
def test_the_house_rules_hold(check):
    assert list(check(read_package())) == []


def test_simulation_knows_no_theory():
    package = read_package()

    def below(module: str) -> set[str]:
        found = {other for other in imports(package, module) if other.startswith("dmft._")}
        return found.union(*map(below, found))

    assert not below("dmft._simulate") & {"dmft._pass", "dmft._solve", "dmft._factors", "dmft._lines"}
    assert "dmft._pass" in below("dmft._solve")


def test_imports_are_shallow():
    assert depth(read_package()) <= MAX_DEPTH


@pytest.mark.parametrize("use", ["from hopfield_jax import *; flip", "import hopfield_jax as hj; hj.dmft.solve", "dir"])
def test_names_are_there_when_they_are_asked_for(use):
    code = use if use != "dir" else f"import {PACKAGE}; assert 'tune' in dir({PACKAGE}) and 'tune' in vars({PACKAGE})"
    code += f"\nimport {PACKAGE}\ntry: {PACKAGE}.nothing\nexcept AttributeError as e: assert 'nothing' in str(e)"
    subprocess.run([sys.executable, "-W", "error", "-c", code + "\nelse: assert False"], check=True, cwd=ROOT.parent)


def test_import_touches_no_device_and_no_face_library():
    code = f"""
import sys, {PACKAGE}
assert not {{"jax", "numpy"}} & set(sys.modules), "the package was imported before its first use"
assert {PACKAGE}.__version__ and {PACKAGE}.random_patterns
from jax._src import xla_bridge
assert not xla_bridge.backends_are_initialized(), "a backend was initialised"
assert not {FACE_LIBRARIES | STORE_LIBRARIES} & set(sys.modules), "a library of plot, cli or sweep was imported"
assert not {SLOW_LIBRARIES} & set(sys.modules), "a library that takes long to import was imported"
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, cwd=ROOT.parent)


@pytest.mark.parametrize("area", sorted(path.parent.name for path in ROOT.glob("[a-z]*/__init__.py")))
def test_any_area_may_be_imported_first(area):
    subprocess.run([sys.executable, "-c", f"import {PACKAGE}.{area}"], check=True, cwd=ROOT.parent)


HALVE = "def f(a, b, x):\n    m = 0.5 * (a + b)\n    "
USE = "from .._units import A\n"
BASE = (
    "class AbstractA:\n    def f(self): ...\n    @abc.abstractmethod\n    def g(self): ...\nclass B(AbstractA): pass\n"
)


@pytest.mark.parametrize(
    "check, sources, error",
    [
        (floor_errors, {"_misc": "from . import _integrate", "_integrate": ""}, "_misc imports _integrate"),
        (floor_errors, {"_units": "", "_units.a": "from .._dynamics import X", "_dynamics": ""}, "not below"),
        (floor_errors, {"dmft.a": "import hopfield_jax.associative.b", "associative.b": ""}, "areas never"),
        (floor_errors, {"theory.a": "def f():\n    from ..dmft.b import c", "dmft.b": ""}, "not below"),
        (floor_errors, {"_dynamics": "import hopfield_jax as hj", "": ""}, "not below"),
        (floor_errors, {"attic": ""}, "no floor"),
        (cycle_errors, {"dmft.a": "from .b import x", "dmft.b": "from . import a"}, "dmft.a -> dmft.b -> dmft.a"),
        (reach_errors, {"dmft.a": "from .._patterns._draw import x", "_patterns._draw": ""}, "private to _patterns"),
        (reach_errors, {"plot": "import hopfield_jax.dmft._pass", "dmft._pass": ""}, "private to dmft"),
        (unit_errors, {"_units": "class A: pass", "dmft.a": USE + "isinstance(x, B | A)"}, "dmft.a:2 recognises A"),
        (unit_errors, {"_units.b": "class A: pass", "": "issubclass(x, (hj.A, int))"}, ":1 recognises A"),
        (class_errors, {"_misc": BASE + "class C(B): pass"}, "C subclasses the concrete class B"),
        (class_errors, {"_misc": BASE + "class C(AbstractA):\n    def f(self): ..."}, "C.f overrides"),
        (length_errors, {"dmft.a": "def f():\n" + 50 * "    x = 1\n"}, "function f has 51 lines"),
        (length_errors, {"dmft.a": '"""A."""\n' + 301 * "x = 1\n"}, "module dmft.a has 301 lines"),
        (bisection_errors, {"dmft.a": HALVE + "a = jnp.where(x > 0, m, a)"}, "dmft.a:2 bisects"),
        (bisection_errors, {"dmft.a": HALVE.replace("0.5 * (a + b)", "(a + b) / 2") + "b = m"}, "dmft.a:2 bisects"),
        (ban_errors, {"plot.a": "import matplotlib.pyplot as plt"}, "imports matplotlib"),
        (ban_errors, {"theory.a": "def f():\n    from tqdm import tqdm"}, "imports tqdm"),
        (ban_errors, {"sweep.a": "import xarray as xr"}, "imports xarray"),
        (ban_errors, {"dmft.a": "def f():\n    import zarr"}, "imports zarr"),
        (ban_errors, {"_misc": "from __future__ import annotations"}, "__future__"),
        (ban_errors, {"cli.a": "import jax\njax.config.update('jax_enable_x64', True)"}, "jax.config"),
        (ban_errors, {"_misc": "import jax\nx = jax.config.jax_enable_x64"}, "jax.config"),
        (ban_errors, {"_misc": "print(1)"}, "prints"),
        (ban_errors, {"_misc": "assert True"}, "asserts"),
        (ban_errors, {"_tune": "import diffrax as dfx\ndfx.diffeqsolve()"}, "diffeqsolve"),
    ],
)
def test_the_checker_finds(check, sources, error):
    assert error in "\n".join(check(parse(sources)))


def test_the_checker_accepts():
    sources = {
        "": "from ._misc import f as f\nfrom . import associative as associative",
        "_misc": BASE + "class C(AbstractA):\n    def g(self): ...",
        "_checks": "from ._misc import C",
        "_roots": HALVE + "a = jnp.where(x > 0, m, a)",
        "_misc.g": 'def f():\n    """' + 60 * "a\n" + '"""\n    ' + HALVE.partition("\n    ")[2] + "x = a",
        "associative": "from ._a import f as f",
        "_units": "class U: pass\nclass V: pass\nisinstance(x, U)",
        "dmft": "from .._units import V\nclass U: pass\nisinstance(x, U)",
        "associative._a": "import diffrax\nfrom .._checks import C",
        "cli": "import typer\nimport hopfield_jax as hj\ndef f():\n    import tqdm",
    }
    for check in CHECKS:
        assert list(check(parse(sources))) == []
    assert depth(parse(sources)) == 4  # cli, the package, associative, _checks, _misc
