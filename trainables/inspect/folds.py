"""How many samples, and of which classes, each fold of the data has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from trainables.findings import Finding, short_name
from trainables.inspect.inspection import Contents, Inspection


@dataclass(frozen=True, kw_only=True)
class FoldSummary:
    """One fold of `data.folds`."""

    samples: int
    chosen: bool
    """It is for validation."""
    counts: Sequence[int]
    """How often each class occurs in it, in the order of the classes."""


def fold_summaries(
    inspection: Inspection, contents: Sequence[Contents], num_classes: int
) -> list[FoldSummary]:
    """The folds in their order; none without folds."""
    if inspection.folds is None:
        return []
    parts = [sample.part for sample in inspection.samples]
    counts: dict[int, Counter[int]] = {}
    for fold, held in zip(inspection.folds.tolist(), contents, strict=True):
        counts.setdefault(fold, Counter()).update(held.labels)
    sizes = Counter(inspection.folds.tolist())
    chosen = {fold for fold, part in zip(inspection.folds.tolist(), parts, strict=True) if part == "valid"}
    return [
        FoldSummary(
            samples=sizes[fold],
            chosen=fold in chosen,
            counts=[counts[fold][number] for number in range(num_classes)],
        )
        for fold in sorted(sizes)
    ]


def fold_leakage(inspection: Inspection, contents: Sequence[Contents]) -> Iterator[Finding]:
    """Samples of two other folds than the chosen one that are the same: one of them validates the other."""
    if inspection.folds is None:
        return
    kind = replace(
        inspection.leakage,
        name="data leakage between folds",
        remedy="keep one of them, or name them as one group (data.group)",
    )
    first: dict[bytes, int] = {}
    for number, held in enumerate(contents):
        if inspection.samples[number].part == "valid":
            continue
        for digest in held.digests:
            other = first.setdefault(digest, number)
            folds = inspection.folds[other], inspection.folds[number]
            if folds[0] != folds[1]:
                name = short_name(inspection.samples[other].where, inspection.root)
                yield Finding(
                    kind,
                    inspection.samples[number].where,
                    f"the same {inspection.compared} as {name}, in folds {folds[1]} and {folds[0]}",
                )
