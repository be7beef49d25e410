"""Parts of a model by the names of their parameters: groups of an optimizer, and what is frozen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol

from torch import nn

_SHOWN = 6


class Group(Protocol):
    """The fields of `trainables.options.GroupOptions`."""

    @property
    def patterns(self) -> tuple[str, ...]: ...

    @property
    def lr_factor(self) -> float: ...

    @property
    def weight_decay(self) -> float | None: ...


class Freeze(Protocol):
    """The fields of `trainables.options.FreezeOptions`."""

    @property
    def patterns(self) -> tuple[str, ...]: ...

    @property
    def until(self) -> int | None: ...


@dataclass(frozen=True)
class Change:
    """What the groups that match a parameter change."""

    lr_factor: float = 1.0
    weight_decay: float | None = None


def changes(model: nn.Module, groups: Sequence[Group]) -> dict[int, Change]:
    """By the id of a parameter; where several groups match, a later one decides, each setting by itself.

    Raises:
        ValueError: a pattern matches nothing.
    """
    found: dict[int, Change] = {}
    for number, group in enumerate(groups):
        for parameter in matching(model, group.patterns, f"optimizer.groups[{number}].match"):
            before = found.get(id(parameter), Change())
            factor = before.lr_factor if group.lr_factor == 1.0 else group.lr_factor
            decay = before.weight_decay if group.weight_decay is None else group.weight_decay
            found[id(parameter)] = Change(factor, decay)
    return found


def matching(model: nn.Module, patterns: Sequence[str], key: str) -> list[nn.Parameter]:
    """The parameters whose name matches one of the patterns, in which `*` stands for any text.

    Args:
        key: where the patterns stand in a configuration.

    Raises:
        ValueError: one of them matches none.
    """
    named = list(model.named_parameters(remove_duplicate=False))
    found: dict[int, nn.Parameter] = {}
    for pattern in patterns:
        some = {id(p): p for name, p in named if fnmatchcase(name, pattern)}
        if not some:
            raise ValueError(
                f"{key}: {pattern!r} matches no parameter of {type(model).__name__}, which has "
                f"{_listed([name for name, _ in named])}; * stands for any text"
            )
        found |= some
    return list(found.values())


class Freezing:
    """Parameters that are not trained, for good or until a step.

    A module whose parameters are all frozen keeps its running statistics too: its batch normalization
    behaves as in evaluation.

    Raises:
        ValueError: a pattern matches nothing, or nothing is left to train.
    """

    def __init__(self, model: nn.Module, rules: Sequence[Freeze]) -> None:
        self._model = model
        self._until: dict[int, float] = {}
        """By the id of a parameter, the step from which it is trained."""
        for rule in rules:
            end = float("inf") if rule.until is None else float(rule.until)
            for parameter in matching(model, rule.patterns, "freeze"):
                self._until[id(parameter)] = max(end, self._until.get(id(parameter), 0.0))
        self._steps = {0.0, *self._until.values()}
        trainable = [p for p in model.parameters() if p.requires_grad]
        if trainable and all(id(p) in self._until for p in trainable):
            raise ValueError("freeze matches every parameter, so that the first step has nothing to train")
        for parameter in trainable:
            if self._until.get(id(parameter)) == float("inf"):
                parameter.requires_grad_(False)
        self._given = {id(p) for p in trainable if p.requires_grad}
        """What an optimizer has, and is trained sooner or later."""

    def apply(self, step: int, *, again: bool = False) -> None:
        """Freeze what is frozen at this step; `again` after the model was set to training as a whole."""
        if not self._until or not (again or step in self._steps):
            return
        for parameter in self._model.parameters():
            if id(parameter) in self._given:
                parameter.requires_grad_(self._until.get(id(parameter), 0.0) <= step)
        self._model.train()
        for module in self._frozen_modules(step):
            module.eval()

    def _frozen_modules(self, step: int) -> Iterator[nn.Module]:
        return (module for module in self._model.modules() if self._is_frozen(module, step))

    def _is_frozen(self, module: nn.Module, step: int) -> bool:
        own = list(module.parameters())
        return bool(own) and all(self._until.get(id(p), 0.0) > step for p in own)


def _listed(names: Sequence[str]) -> str:
    more = f", … ({len(names)} in all)" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
