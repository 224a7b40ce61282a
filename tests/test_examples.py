"""Every example runs in its quick form, prints its numbers and draws its figure."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
every = pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)


def test_there_are_examples():
    assert EXAMPLES


@every
def test_example_is_short_and_begins_with_its_question(example):
    lines = example.read_text().splitlines()
    assert len(lines) <= 120
    assert lines[0] == "# %% [markdown]"
    assert re.fullmatch(r"# # .+\?", lines[1])


@pytest.mark.slow
@every
def test_example_runs_and_draws_its_figure(example, tmp_path):
    figure = tmp_path / "figure.png"
    command = [sys.executable, "-W", "error", str(example), "--quick", "--output", str(figure)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    assert re.search(r"\d\.\d", done.stdout)  # it prints its numbers
    assert "nan" not in done.stdout.lower()
    assert figure.read_bytes().startswith(b"\x89PNG") and figure.stat().st_size > 10_000
    assert [path.name for path in tmp_path.iterdir()] == ["figure.png"]
