"""The resolved values of a trial, as attributes and as items."""

from __future__ import annotations

from typing import Any


class Values(dict[str, Any]):
    """A mapping whose keys are attributes too, at each depth: `values.optimizer.lr`."""

    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__({key: _nested(value) for key, value in values.items()})

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            known = ", ".join(self) or "none"
            raise AttributeError(f"there is no value {name!r}; known: {known}") from None


def _nested(value: Any) -> Any:
    if isinstance(value, dict):
        return Values(value)
    return [_nested(item) for item in value] if isinstance(value, list | tuple) else value
