"""Every code block of the README, of the docs and of public docstrings runs; everything public is documented."""

import ast
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

import hopfield_jax

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS = (
    "python3 -m venv .venv && .venv/bin/pip install -q -e '.[cli]' && .venv/bin/hopfield-jax demo",
    "python3 -m venv .venv && .venv/bin/pip install -q -U pip && .venv/bin/pip install -q --group dev -e '.[cli]' "
    "&& .venv/bin/python -m pytest",
)
BLOCK = re.compile(
    r"(?P<skip><!-- skip -->[ \t]*\n\s*)?^(?P<indent>[ \t]*)```python\b[^\n]*\n(?P<code>.*?)^(?P=indent)```[ \t]*$",
    re.MULTILINE | re.DOTALL,
)


def blocks(text: str, first_line: int = 1) -> Iterator[tuple[int, str]]:
    """The code of each block that is not skipped, with the line it starts on."""
    for match in BLOCK.finditer(text):
        if not match["skip"]:
            yield first_line + text.count("\n", 0, match.start("code")), inspect.cleandoc("\n" + match["code"])


def execute(name: str, code: list[tuple[int, str]], directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs the blocks in one namespace as a user would, under JAX's default promotion rules."""
    monkeypatch.chdir(directory)
    namespace: dict = {"__name__": "__main__"}
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        for line, block in code:
            exec(compile("\n" * (line - 1) + block, name, "exec"), namespace)  # lines in tracebacks are the page's
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


def public_objects() -> dict[str, object]:
    """Functions and classes exported by the package and its public subpackages, and the classes' own public methods."""
    names = [info.name for info in pkgutil.iter_modules(hopfield_jax.__path__) if not info.name.startswith("_")]
    found: dict[str, object] = {}
    modules = [hopfield_jax, *(importlib.import_module(f"hopfield_jax.{name}") for name in names)]
    for module in [*modules, *(m.results for m in modules if hasattr(m, "results"))]:
        for name in dir(module):
            value = getattr(module, name)
            ours = str(getattr(value, "__module__", "")).startswith("hopfield_jax")
            if ours and callable(value) and not name.startswith("_"):
                found[f"{module.__name__}.{name}"] = value
                for method, function in vars(value).items() if inspect.isclass(value) else ():
                    if not method.startswith("_") and inspect.isfunction(function):
                        found[f"{module.__name__}.{name}.{method}"] = function
    return found


def documentation(value: object) -> str:
    """The docstring, except the signature that dataclasses without a docstring have there."""
    doc = getattr(value, "__doc__", None) or ""
    return "" if inspect.isclass(value) and doc.startswith(f"{value.__name__}(") else inspect.cleandoc(doc)


PUBLIC = public_objects()
EXAMPLES = {name: code for name, value in PUBLIC.items() if (code := list(blocks(documentation(value))))}


@pytest.mark.parametrize("page", PAGES[1:], ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_run(page, tmp_path, monkeypatch):
    execute(str(page.relative_to(ROOT)), list(blocks(page.read_text())), tmp_path, monkeypatch)


def test_readme_prints_what_it_says(tmp_path, monkeypatch, capsys):
    code = list(blocks((ROOT / "README.md").read_text()))
    execute("README.md", code, tmp_path, monkeypatch)
    said = [line[2:] for _, block in code for line in block.splitlines() if line.startswith("# ")]
    assert capsys.readouterr().out.splitlines() == said


@pytest.mark.parametrize("name", EXAMPLES)
def test_docstrings_run(name, tmp_path, monkeypatch):
    execute(f"<docstring of {name}>", EXAMPLES[name], tmp_path, monkeypatch)


def test_everything_public_is_documented():
    assert [name for name, value in PUBLIC.items() if not documentation(value)] == []


def _attributes_of_datasets(code: str, dataset: type) -> Iterator[str]:
    """Attributes of a sweep's dataset used in code: unknown ones, and methods that are not called."""
    nodes = list(ast.walk(ast.parse(code)))
    made = {"sweep.run", "sweep.boundary", "sweep.open"}
    names = {
        target.id
        for node in nodes
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
        for target in node.targets
        if isinstance(target, ast.Name) and ast.unparse(node.value.func).removeprefix("hj.") in made
    }
    called = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in names:
            known = getattr(dataset, node.attr, None)
            if known is None or callable(known) and id(node) not in called:
                yield ast.unparse(node)


def test_axes_and_outputs_are_read_by_their_names_in_brackets():
    """`dataset.load` is a method of xarray, whatever an axis is called."""
    import xarray as xr

    wrong = "d = hj.sweep.run(point, grid)\nd.load.mean()\nd.overlap\nd.load()\nd['load'].mean()\nd.attrs"
    assert sorted(_attributes_of_datasets(wrong, xr.Dataset)) == ["d.load", "d.overlap"]
    code = {str(page): "\n".join(block for _, block in blocks(page.read_text())) for page in PAGES}
    code |= {str(path): path.read_text() for path in (ROOT / "examples").glob("*.py")}
    code |= {name: "\n".join(block for _, block in found) for name, found in EXAMPLES.items()}
    found = {where: list(_attributes_of_datasets(text, xr.Dataset)) for where, text in code.items()}
    assert {where: names for where, names in found.items() if names} == {}


def test_readme_has_its_two_commands():
    lines = [line.strip() for line in (ROOT / "README.md").read_text().splitlines()]
    assert [line for line in lines if line.startswith("python3 -m venv")] == list(COMMANDS)


def test_one_time_is_said_for_the_demo():
    from hopfield_jax.cli._demo import Demo

    texts = ((ROOT / "README.md").read_text(), (ROOT / "docs" / "index.md").read_text(), inspect.getdoc(Demo) or "")
    said = [re.findall(r"takes\sabout\s((?:half\s)?a\sminute|\w+\sminutes)", text) for text in texts]
    assert all(len(times) == 1 for times in said) and len({times[0] for times in said}) == 1


def test_blocks_are_found_and_skipped():
    text = (
        "a\n```python\nx = 1\n```\n"
        "<!-- skip -->\n```python\n1 / 0\n```\n"
        "    ```python title='b'\n    y = x\n    ```\n"
        "```text\nz\n```\n"
    )
    assert list(blocks(text)) == [(3, "x = 1"), (10, "y = x")]


def test_a_failing_block_fails_at_its_line(tmp_path, monkeypatch):
    with pytest.raises(ZeroDivisionError) as caught:
        execute("page.md", list(blocks("text\n\n```python\nx = 0\n1 / x\n```\n")), tmp_path, monkeypatch)
    assert caught.traceback[-1].lineno == 4  # counted from 0
