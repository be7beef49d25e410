"""What a study keeps of each trial's configuration: as little as tells all of it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial

from search.errors import KeyPath
from search.space.space import Resolved, Space


class Recalled(Resolved):
    """The same as `space.resolve(params)`, of which only the parameters are kept.

    A study has thousands of trials, the configuration of each takes kilobytes, and once a trial is under way
    it is hardly looked at again.

    Raises:
        SearchError: the space cannot have given these parameters.
    """

    params: dict[str, Any]

    def __init__(self, space: Space, params: Mapping[str, Any]) -> None:
        # Parameters that were dropped from the journal or are not the space's are found here.
        kept = space.resolve(params).params
        object.__setattr__(self, "_space", space)
        object.__setattr__(self, "params", kept)

    @property
    def options(self) -> dict[str, Any]:  # type: ignore[override]
        return self._resolved.options

    @property
    def origin(self) -> dict[KeyPath, KeyPath]:  # type: ignore[override]
        return self._resolved.origin

    @property
    def _resolved(self) -> Resolved:
        space: Space = self._space  # type: ignore[attr-defined]
        return space.resolve(self.params)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Resolved):
            return NotImplemented
        return (self.options, self.params, self.origin) == (other.options, other.params, other.origin)

    __hash__ = None  # type: ignore[assignment]


def share_distributions(frozen: FrozenTrial) -> None:
    """Let trials of equal spaces hold one description of it, where Optuna makes each its own."""
    distributions = frozen.distributions
    # Also told apart by their text: to Optuna the choices 0 and 1 are those of false and true.
    frozen.distributions = _one_of_equal(repr(distributions), *distributions.items())


@lru_cache(maxsize=1000)
def _one_of_equal(text: str, *items: tuple[str, BaseDistribution]) -> dict[str, BaseDistribution]:
    return dict(items)
