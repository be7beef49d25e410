"""Groups of an optimizer by layer and kind: every learning rate exact, every parameter in one group."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from patience import PATIENCE
from programs import ROOT

WITHOUT_TRANSFORMERS = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "transformers":
            raise ModuleNotFoundError("No module named 'transformers'", name=name)

sys.meta_path.insert(0, Refuse())
from search.cli.main import main
main(sys.argv[1:])
"""


def test_without_transformers_the_line_of_the_model_says_what_to_install(tmp_path: Path) -> None:
    config = ROOT / "configs" / "seg_transformer.yaml"
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TRANSFORMERS, "check", str(config)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 2, done.stderr
    assert "pip install 'tune-search[transformers]'" in done.stderr
    assert "seg_transformer.yaml:" in done.stderr
    assert "Traceback" not in done.stderr
