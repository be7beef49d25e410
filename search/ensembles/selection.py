"""Greedy forward selection with replacement, as in Caruana et al. 2004.

"Ensemble selection from libraries of models", ICML.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from search.config.schema import Mode
from search.ensembles.predictions import Predicted, Progress
from search.study.trial import as_loss
from trainables.training.validation import Validation

METHOD = (
    "greedy forward selection with replacement, as in Caruana et al. 2004, Ensemble selection from libraries "
    "of models"
)


@dataclass(frozen=True)
class Pick:
    """One candidate more, and the objective of all that were picked until then."""

    place: int
    """Of the candidate among all."""
    value: float


@dataclass(frozen=True)
class Selection:
    """What was picked in turn, and how much of it is the best."""

    picks: Sequence[Pick]
    kept: int
    """The shortest beginning of the picks that has the best value; 1 if no ensemble is better."""
    best_of_several: float
    """The best value of all that were tried of two and more different candidates."""

    @property
    def counts(self) -> Mapping[int, int]:
        """How often each member counts, by its place, in the order in which they were picked."""
        return Counter(pick.place for pick in self.picks[: self.kept])


def select(predicted: Predicted, number: int, metric: str, mode: Mode, progress: Progress) -> Selection:
    """Pick so many candidates, one after the other, each that which makes the mean of all the best.

    A candidate may be picked again, and then counts twice. The first pick is the best candidate.

    Args:
        predicted: the predictions of all candidates.
        number: of picks, and so the most that members can be.
    """
    first = min(range(len(predicted.of)), key=lambda place: as_loss(predicted.of[place].value, mode))
    picks, several = [Pick(first, predicted.of[first].value)], list[float]()
    while len(picks) < number:
        picked = [pick.place for pick in picks]
        values = _values(predicted, picked, metric, number, progress)
        several += [value for place, value in enumerate(values) if {place} != {*picked}]
        place = min(range(len(values)), key=lambda each: as_loss(values[each], mode))
        picks.append(Pick(place, values[place]))
    losses = [as_loss(pick.value, mode) for pick in picks]
    return Selection(picks, 1 + losses.index(min(losses)), min(several, key=lambda each: as_loss(each, mode)))


def _values(
    predicted: Predicted, picked: Sequence[int], metric: str, number: int, progress: Progress
) -> list[float]:
    """The objective of what is picked together with each candidate."""
    reference, text = predicted.reference, f"choosing member {len(picked) + 1} of up to {number}"
    found = [Validation(reference.task, reference.device) for _ in predicted.of]
    for batch_number, start in enumerate(predicted.starts):
        with reference.validating(reference.evaluated_model):
            batch = reference.valid_batch(start)
            total = sum(predicted.of[place].batch(batch_number, reference.device) for place in picked)
            for each, predictions in zip(found, predicted.of, strict=True):
                mean = (total + predictions.batch(batch_number, reference.device)) / (len(picked) + 1)
                each.add(predicted.average.outputs(mean), batch)
        progress(text, batch_number + 1, len(predicted.starts))
    return [each.compute()[metric] for each in found]
