"""Searches from a script and from a notebook, on a Ray of their own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from patience import PATIENCE
from programs import ROOT, run, start

import search

NOTEBOOK = ROOT / "examples" / "notebook.ipynb"
SCRIPT = """
import torch

import search


def fit(trial: search.Trial, lr: float = 0.1) -> None:
    x = torch.nn.Parameter(torch.full((1,), 2.0))
    optimizer = torch.optim.SGD([x], lr=lr)
    trial.track(model=torch.nn.ParameterList([x]), optimizer=optimizer)
    trial.evaluated_by(lambda: {"loss": (x**2).sum()})
    for steps in trial.virtual_epochs():
        for _ in steps:
            optimizer.zero_grad()
            (x**2).sum().backward()
            optimizer.step()
        trial.report()

"""
CALL = """
run = search.search(
    fit,
    space={"lr": search.loguniform(1e-3, 0.4)},
    objective={"metric": "loss", "mode": "min"},
    virtual_epoch={"steps": 2},
    budget={"trials": 4, "max_virtual_epochs": 3},
)
print(run)
"""
GUARD = "if __name__ == '__main__':"


def _script(folder: Path, text: str) -> tuple[int | None, str]:
    (folder / "my").mkdir(exist_ok=True)
    (folder / "my" / "script.py").write_text(text)
    path = f"{ROOT}:{folder}"
    process = start(folder, [sys.executable, "my/script.py"], cwd=folder, env={"PYTHONPATH": path})
    output, _ = process.communicate(timeout=PATIENCE)
    return process.returncode, output


def test_a_script_searches_its_own_function_and_the_shell_exports_it(tmp_path: Path) -> None:
    code, output = _script(tmp_path, SCRIPT + GUARD + CALL.replace("\n", "\n    "))
    assert code == 0, output
    assert "trial 0 virtual epoch 1/3 loss" in output
    assert "<Run fit: complete, 4 trials, loss" in output
    assert "task: my.script:fit\n" in (tmp_path / "results" / "fit" / "config.yaml").read_text()
    exported = run("export", "results/fit", cwd=tmp_path)
    assert exported.returncode == 0, exported.stderr


def test_a_script_without_a_guard_is_told_where_to_put_it(tmp_path: Path) -> None:
    code, output = _script(tmp_path, SCRIPT + CALL)
    assert code == 1
    assert "it begins a search, a check or the like when it is imported; put that under" in output


def _outputs(notebook: Any, kind: str) -> list[str]:
    return [
        output["data"][kind]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if kind in output.get("data", {})
    ]


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The example notebook and its folder, after all of its cells and the search once more."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(NOTEBOOK, 4)
    (searching,) = [cell for cell in notebook.cells if "search.search(" in cell.source]
    again = searching.source + "\nfirst = run.trials.equals(search.Run('results/digits').trials); first"
    notebook.cells.append(nbformat.v4.new_code_cell(again))
    start = nbformat.v4.new_code_cell(f"import sys; sys.path.append({str(ROOT)!r})")
    notebook.cells.insert(0, start)
    NotebookClient(notebook, timeout=180, resources={"metadata": {"path": str(folder)}}).execute()
    return folder, notebook


def test_the_notebook_shows_the_search_its_table_and_its_picture(executed: tuple[Path, Any]) -> None:
    _, notebook = executed
    pages = "".join(_outputs(notebook, "text/html"))
    assert "16 of 16 trials begun, 0 running" in pages  # the live view's last picture
    assert "<b>digits</b>: complete, 16 trials, accuracy 0." in pages
    assert "params_batch_size" in pages
    assert len(_outputs(notebook, "image/png")) == 1
    streams = [
        output.text
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type == "stream"
    ]
    assert all(text.startswith("virtual epoch") for text in streams), streams


def test_a_cells_function_is_trained_in_rays_processes_and_exported(executed: tuple[Path, Any]) -> None:
    folder, notebook = executed
    found = search.Run(folder / "results" / "digits")
    assert found.best is not None
    assert found.best.value > 0.85
    assert (found.folder / "export" / "model.safetensors").is_file()
    assert "def train(" in (found.folder / "provenance.json").read_text()
    assert _outputs(notebook, "text/plain")[-1] == "True"  # the same cell again changed nothing


def test_the_shell_says_where_a_notebooks_function_is(executed: tuple[Path, Any]) -> None:
    folder, _ = executed
    refused = run("export", "results/digits", cwd=folder)
    assert refused.returncode == 2
    assert "train was defined in a notebook or console, and is not there any more" in refused.stderr
