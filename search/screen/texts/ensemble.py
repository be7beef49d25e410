"""What `export --ensemble` and `export --soup` wrote, how it was chosen, and what its value is worth."""

from __future__ import annotations

from collections.abc import Sequence

from search.ensembles.batch_norm import BATCHES
from search.ensembles.ensemble import Ensemble
from search.ensembles.soup import Soup
from search.retraining.fold_ensemble import FoldEnsemble
from search.screen.texts.export import file_lines, graph_lines, retrain_lines
from search.screen.texts.predict import predict_lines
from search.text import command, counted, number_text, one_line, short_path
from trainables.predicting.ensemble import MEMBERS

_CHOSEN = (
    "note: members were chosen on the validation data that the value is of, which flatters it: expect less "
    "of new data"
)


def ensemble_text(found: Ensemble) -> str:
    """The members, the value after each pick, and the files."""
    total = sum(member["count"] for member in found.members)
    lines = [
        f"ensemble of {len(found.members)} of {counted(found.candidates, 'trial')} with checkpoints"
        f"{_of_stage(found.stage)}, exported to {short_path(found.folder)}",
        *(
            f"  {MEMBERS}/{member['member']}  {member['label']}, {found.metric} "
            f"{number_text(member['value'])} alone, counts {member['count']} of {total}"
            for member in found.members
        ),
        *file_lines(found.folder),
        *_graph_lines(found.graphs),
        "picked in turn:",
        *(
            f"  {pick['picked']:<12} {found.metric} {number_text(pick['value'])}"
            f"{'' if pick['kept'] else ', no better: left out'}"
            for pick in found.selection
        ),
        _values(found.metric, found.value, found.best, found.best_value),
        _CHOSEN,
        *_left_out(found.left_out),
        "next",
        *predict_lines(found.folder),
        f"  {command('retrain', found.folder / MEMBERS / '1')}",
    ]
    return "\n".join(lines)


def fold_ensemble_text(found: FoldEnsemble) -> str:
    """The models of the folds, and the files."""
    folds = found.folds
    spread = "" if folds.std is None else f" ± {number_text(folds.std)} (mean ± standard deviation)"
    lines = [
        f"ensemble of {counted(folds.folds, 'fold')} of trial {folds.trial}, exported to "
        f"{short_path(found.folder)}",
        *(
            f"  {MEMBERS}/{member['member']}  {member['label']}, {folds.metric} "
            f"{number_text(member['value'])} on this fold"
            for member in found.members
        ),
        *file_lines(found.folder),
        *_graph_lines(found.graphs),
        f"re-evaluated from these files: {folds.metric} {number_text(found.value)} out of fold, each sample "
        f"by the member that has not seen it; {number_text(folds.mean)}{spread} over the folds",
        "note: the mean of the members is not measured, as all of them but one have seen any sample",
        "next",
        *predict_lines(found.folder),
    ]
    return "\n".join(lines)


def soup_text(found: Soup) -> str:
    """The trials whose weights were averaged, and the files."""
    export, names = found.export, ", ".join(map(str, found.trials))
    lines = [
        f"average of the weights of {counted(len(found.trials), 'trial')} ({names}) of {found.candidates} of "
        f"this architecture{_of_stage(export.stage)}, exported to {short_path(export.folder)}",
        *file_lines(export.folder),
        *graph_lines(export).splitlines(),
    ]
    if found.estimated:
        lines.append(
            f"statistics of {counted(found.estimated, 'batch normalization')} were estimated anew from "
            f"{BATCHES} batches of training data"
        )
    lines += [
        _values(export.metric, export.value, f"trial {found.trials[0]}", found.best_value),
        _CHOSEN,
        *_left_out(found.left_out),
        "next",
        *predict_lines(export.folder),
        *retrain_lines(export.folder, scheduled=False),
    ]
    return "\n".join(lines)


def _values(metric: str, value: float, best: str, best_value: float) -> str:
    return (
        f"re-evaluated from these files: {metric} {number_text(value)}; {best}, the best one alone, has "
        f"{number_text(best_value)}"
    )


def _graph_lines(files: Sequence[str]) -> list[str]:
    return [f"each member has its {file}, validated; there is no graph of the whole" for file in files]


def _of_stage(stage: str | None) -> str:
    return "" if stage is None else f" of stage {stage}"


def _left_out(notes: Sequence[str]) -> list[str]:
    return [f"note: {one_line(note)}" for note in notes]
