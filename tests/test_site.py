"""The documentation's site builds without warnings, covers every public name, and loads nothing from other hosts."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from test_docs import PUBLIC

ROOT = Path(__file__).parent.parent
REFERENCE = sorted((ROOT / "docs" / "api").glob("*.md"))


def test_everything_public_has_one_place_in_the_reference():
    listed = [name for page in REFERENCE for name in re.findall(r"^::: (\S+)$", page.read_text(), re.MULTILINE)]
    once = {id(value): name for name, value in sorted(PUBLIC.items(), key=lambda pair: -len(pair[0]))}  # shortest name
    objects = {
        name for name in once.values() if name.removeprefix("hopfield_jax.").replace("results.", "").count(".") < 2
    }
    objects -= {"hopfield_jax.cli.main"}
    classes = {name for name in objects if name.rsplit(".", 1)[0] in objects}  # methods stand with their classes
    assert sorted(listed) == sorted(objects - classes)


@pytest.fixture(scope="module")
def site():
    subprocess.run([sys.executable, "docs/build.py", "--no-figures"], check=True, cwd=ROOT)  # a warning is an error
    return ROOT / "site"


def test_the_site_has_all_pages(site):
    pages = {str(page.parent.relative_to(site)) for page in site.rglob("index.html")}
    sources = {page.relative_to(ROOT / "docs").with_suffix("") for page in (ROOT / "docs").rglob("*.md")}
    assert {str(page) for page in sources} - {"index"} <= pages
    assert {f"examples/{script.stem}" for script in (ROOT / "examples").glob("*.py")} <= pages
    assert {"changelog", "benchmarks"} <= pages


def test_every_example_is_linked_from_the_page_of_its_question_or_theory(site):
    pages = [page.read_text() for kind in ("questions", "theory") for page in (site / kind).rglob("*.html")]
    names = [script.stem for script in (ROOT / "examples").glob("*.py")]
    assert [
        name for name in names if not any(f'<em>Example: <a href="../../examples/{name}/">' in p for p in pages)
    ] == []


def test_formulae_are_mathml_and_nothing_is_loaded_from_elsewhere(site):
    text = {page: page.read_text() for page in site.rglob("*.html")}
    assert "<math" in text[site / "theory" / "dmft" / "index.html"]
    assert [page for page, content in text.items() if 'class="arithmatex"' in content] == []
    loads = re.compile(r"<(?:script|img)[^>]* src=\"?https?://|<link[^>]* rel=\"?stylesheet[^>]* href=\"?https?://")
    assert [page for page, content in text.items() if loads.search(content)] == []
