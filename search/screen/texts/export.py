"""What an export wrote, and the values of its files."""

from __future__ import annotations

from pathlib import Path

from search.exports.export import Export
from search.screen.texts.confirm import exported_winner
from search.screen.texts.predict import predict_lines
from search.text import command, number_text, short_path
from trainables.files import folder_bytes


def export_text(export: Export) -> str:
    """The files that were written, and the value they evaluate to."""
    of = "" if export.stage is None else f" of stage {export.stage}"
    files = "\n".join(file_lines(export.folder))
    value = f"{export.metric} {number_text(export.value)}"
    evaluated = f"re-evaluated from these files: {value}, as recorded"
    retrain = retrain_lines(
        export.folder, export.scheduled, *(["--accept-new-data"] if export.other_data else [])
    )
    if not export.evaluated:
        evaluated = f"not evaluated, as trial.evaluated_by has not said how; {value} was recorded"
    if export.other_data:
        evaluated = (
            f"not evaluated, as the data have changed since it was trained; {value} was recorded then\n"
            + "\n".join(f"  {line}" for line in export.other_data)
        )
    next_lines = ["next", *predict_lines(export.folder), *retrain]
    return (
        f"trial {export.trial}{of} exported to {short_path(export.folder)}\n{files}\n"
        f"{evaluated}\n{graph_lines(export)}{exported_winner(export)}\n" + "\n".join(next_lines)
    )


def file_lines(folder: Path) -> list[str]:
    """The files of an export with their sizes, and of a folder in it the size of all below."""
    return [
        f"  {path.name + '/' * path.is_dir():<20} {_bytes(path):>12,} bytes"
        for path in sorted(folder.iterdir())
    ]


def _bytes(path: Path) -> int:
    return folder_bytes(path) if path.is_dir() else path.stat().st_size


def retrain_lines(exported: Path, scheduled: bool, *options: str) -> list[str]:
    """The command that trains an export on, and of a model whose values changed the one that repeats it."""
    lines = [f"  {command('retrain', exported, *options)}"]
    if scheduled:
        again = command("retrain", exported, "--from-scratch", *options)
        lines.append(f"  {again}  # repeats the schedule of values")
    return lines


def graph_lines(export: Export) -> str:
    """A line for each graph: its value, and how far its outputs are from the model's."""
    lines = []
    for graph in export.graphs.values():
        objective, off = graph["objective"], graph["largest_difference"]
        value = f"{objective['metric']} {number_text(objective['value'])}"
        close = f"outputs within {off:.1g} of the model's" if off else "outputs equal to the model's"
        lines.append(f"{graph['files'][0]} validated in {graph['runtime']}: {value}, {close}\n")
    return "".join(lines)
