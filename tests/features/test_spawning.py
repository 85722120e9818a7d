"""A script without its guard: the process that it spawns ends at once, and says why."""

import os
import subprocess
import sys
from pathlib import Path

from recsys.features.spawning import GUARD

ROOT = Path(__file__).parents[2]

SCRIPT = """
import multiprocessing
import sys
from recsys.features.spawning import end_if_importing

end_if_importing()
process = multiprocessing.get_context("spawn").Process(target=print, args=("not reached",))
process.start()
process.join()
sys.exit(process.exitcode)
"""


def test_it_ends_where_it_would_spawn_again(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    run = subprocess.run(
        [sys.executable, script], env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stdout, run.stderr) == (1, "", f"{GUARD}\n")
