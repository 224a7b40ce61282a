"""HAMUX as a baseline, run by an interpreter that has it, which need not be this one."""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from problems import Call, Missing

SCRIPT = Path(__file__).parent / "baselines" / "hamux_retrieval.py"


def retrieval(interpreter: str | None, patterns, cues, beta: float, num_steps: int) -> Call:
    """Retrieval in another process, which waits between the rounds. A call returns (final states, energies)."""
    if interpreter is None:
        if importlib.util.find_spec("hamux") is None:
            raise Missing("hamux not installed")
        interpreter = sys.executable
    with tempfile.TemporaryDirectory() as folder:
        given, answer = Path(folder) / "given.npz", Path(folder) / "answer.npz"
        np.savez(given, patterns=patterns, cues=cues, beta=beta, num_steps=num_steps)
        command = [interpreter, str(SCRIPT), str(given), str(answer)]
        room = os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # on a GPU this process has most of its memory
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=room)
        assert process.stdin is not None and process.stdout is not None
        ask, heard = process.stdin, process.stdout
        try:
            about = json.loads(heard.readline())
        except json.JSONDecodeError:
            process.communicate()
            raise Missing(f"{interpreter} cannot run hamux") from None
        with np.load(answer) as found:
            result = found["state"], found["energy"]

    def call() -> tuple[np.ndarray, np.ndarray]:
        ask.write("again\n")
        ask.flush()
        if not heard.readline():
            raise RuntimeError("the process of hamux ended")
        return result

    def release() -> None:
        ask.close()
        process.wait(30)

    return Call(call, compiled=False, release=release, about=about)
