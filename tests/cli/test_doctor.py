"""The report names everything that a bug report needs, and survives what it cannot find out."""

import jax
import pytest

from helpers import enable_x64
from hopfield_jax.cli import _doctor


def _report() -> dict[str, str]:
    parts = (line.strip().partition(": ") for line in _doctor.doctor_lines())
    return {name: value for name, _, value in parts}


def test_versions_devices_and_memory():
    report = _report()
    assert report["jax"] == jax.__version__
    assert report["0"].startswith(jax.devices()[0].platform)
    assert "GiB" in report["host"]
    for package in _doctor._PACKAGES:
        assert report[package]


def test_precision_follows_the_mode():
    for enabled, expected in ((False, "float32"), (True, "float64")):
        with enable_x64(enabled):
            assert _report()["default"].startswith(expected)


def test_compilation_cache_is_counted(tmp_path):
    assert _report()["compilation cache"].startswith("off")
    (tmp_path / "a-cache").write_bytes(b"0" * 2**20)
    (tmp_path / "a-atime").write_bytes(b"0")
    before = _doctor._option("jax_compilation_cache_dir")
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    try:
        report = _report()
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
    assert report["compilation cache"] == f"on, directory {tmp_path}"
    assert report["entries"] == "1, 1.0 MiB"


@pytest.mark.parametrize("broken", ["devices", "local_devices"])
@pytest.mark.fault("an odd environment")
def test_never_fails(broken, monkeypatch):
    def fail():
        raise RuntimeError("no backend")

    monkeypatch.setattr(jax, broken, fail)
    monkeypatch.setattr(_doctor, "_host_memory", lambda: (None, None))
    lines = _doctor.doctor_lines()
    assert "  unknown (RuntimeError: no backend)" in lines
    assert "  host: unknown, unknown available" in lines
    assert any(line.startswith("  compilation cache") for line in lines)
