"""Builds the documentation into `site/`: `python docs/build.py` (with the group `docs` of pyproject.toml installed).

Gathers the pages, makes one of each example with the figure that `--quick` gives, has Zensical build it, strictly,
and turns formulae into MathML, which browsers show by themselves: the site loads nothing from elsewhere.
"""

import argparse
import hashlib
import html
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
WORK, CACHE, SITE = ROOT / "build" / "docs", ROOT / "build" / "figures", ROOT / "site"
CELL = re.compile(r"^# %%( \[markdown\])?[^\n]*\n", re.MULTILINE)
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)
EXAMPLE = re.compile(r"^<!-- example: (\w+) -->$", re.MULTILINE)
GATHERED = {
    "changelog.md": "CHANGELOG.md",
    "benchmarks.md": "benchmarks/README.md",
    "scaling.png": "benchmarks/scaling.png",
}


def markdown(script: str) -> str:
    """A script in percent format as Markdown: its cells of text and of code."""
    parts = CELL.split(script)
    pages = []
    for is_text, body in zip(parts[1::2], parts[2::2], strict=True):
        body = body.strip("\n")
        pages.append(re.sub(r"^# ?", "", body, flags=re.MULTILINE) if is_text else f"```python\n{body}\n```")
    return "\n\n".join(pages) + "\n"


def figure(script: Path) -> Path:
    """The figure of an example, made anew when the example or the package has changed."""
    sources = [script, *sorted((ROOT / "hopfield_jax").rglob("*.py"))]
    mark = hashlib.sha256(b"".join(p.read_bytes() for p in sources)).hexdigest()[:16]
    picture = CACHE / f"{script.stem}-{mark}.png"
    if not picture.exists():
        print(f"  {script.name} --quick", flush=True)
        CACHE.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, str(script), "--quick", "--output", str(picture)]
        subprocess.run(command, check=True, cwd=CACHE, stdout=subprocess.DEVNULL)
    return picture


def shown(name: str, title: str, figures: bool) -> str:
    """What stands on a page for an example: its figure with its question below, both links."""
    link = f"../examples/{name}"
    picture = f"[![{title}]({link}.png)]({link}.md)\n\n" if figures else ""
    return f"{picture}*Example: [{title}]({link}.md)*"


def gather(figures: bool) -> None:
    """All pages and the configuration in one folder."""
    shutil.rmtree(WORK, ignore_errors=True)
    pages = WORK / "docs"
    shutil.copytree(ROOT / "docs", pages, ignore=shutil.ignore_patterns("*.py", "*.yml"))
    for page, source in GATHERED.items():
        shutil.copy(ROOT / source, pages / page)
    (pages / "examples").mkdir()
    titles = {}
    for script in sorted((ROOT / "examples").glob("*.py")):
        text = markdown(script.read_text(encoding="utf-8"))
        titles[script.stem] = title = text[2 : text.index("\n")]
        if figures:
            shutil.copy(figure(script), pages / "examples" / f"{script.stem}.png")
            picture = f"![{title}]({script.stem}.png)\n\n*Made with `--quick`: fewer points, larger errors.*"
            text = text.replace("\n```python", f"\n{picture}\n\n```python", 1)
        (pages / "examples" / f"{script.stem}.md").write_text(text, encoding="utf-8")
    listed = "".join(f"- [{title}]({name}.md)\n" for name, title in titles.items())
    (pages / "examples" / "index.md").write_text(
        f"# Examples\n\nOne question and one figure each; with `--quick` a small version runs.\n\n{listed}",
        encoding="utf-8",
    )
    for page in (path for kind in ("questions", "theory") for path in (pages / kind).glob("*.md")):
        text = EXAMPLE.sub(lambda found: shown(found[1], titles[found[1]], figures), page.read_text(encoding="utf-8"))
        page.write_text(text, encoding="utf-8")
    config = (ROOT / "docs" / "mkdocs.yml").read_text(encoding="utf-8")
    nav = "".join(f"      - examples/{page}\n" for page in ("index.md", *(f"{name}.md" for name in titles)))
    config, count = re.subn(r"( +- Examples:) \[\][^\n]*\n", rf"\1\n{nav}", config)
    assert count == 1
    (WORK / "mkdocs.yml").write_text(config, encoding="utf-8")


def in_mathml(page: str) -> str:
    """A page of the site with its formulae as MathML."""
    from latex2mathml.converter import convert

    def replace(match: re.Match[str]) -> str:
        return convert(html.unescape(match[3]).strip(), display="block" if match[2] == "[" else "inline")

    return FORMULA.sub(replace, page)


def build(figures: bool) -> None:
    """The whole of it; a warning is an error."""
    gather(figures)
    subprocess.run([sys.executable, "-m", "zensical", "build", "--clean", "--strict"], check=True, cwd=WORK)
    for page in (WORK / "site").rglob("*.html"):
        page.write_text(in_mathml(page.read_text(encoding="utf-8")), encoding="utf-8")
    shutil.rmtree(SITE, ignore_errors=True)
    shutil.move(WORK / "site", SITE)
    print(f"{sum(1 for _ in SITE.rglob('*.html'))} pages in {SITE.relative_to(ROOT)}/")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Builds the documentation into site/.")
    parser.add_argument("--no-figures", action="store_true", help="leave out the figures of the examples (minutes)")
    build(not parser.parse_args().no_figures)
