"""Location and contents of shards, for the `data:` of any task."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, NonNegativeInt, field_validator, model_validator

from trainables.base_options import VALIDATES, VALIDATES_WITH_FOLDS
from trainables.folds.options import NameFolds
from trainables.shards.sample import check_extension


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[
    tuple[Text, ...],
    BeforeValidator(_listed, json_schema_input_type=Text | tuple[Text, ...]),
    Field(min_length=1),
]
"""One text, or several in a list."""


class ShardPlaces(NameFolds):
    """Tar files in which the members of a sample have one name but for what follows its first dot.

    Nothing is unpacked or kept in memory: training and validation read the shards where they lie. Their
    indexes, which `python -m trainables.shards index` writes, are made where they are missing. Each epoch
    takes the shards in another order.
    """

    root: Text = "."
    """Folder from which the patterns start."""
    train: Annotated[Texts, VALIDATES_WITH_FOLDS]
    """Files, folders or patterns: train-{000000..000127}.tar, train-*.tar, or train for all of a folder."""
    valid: Annotated[Texts | None, VALIDATES] = None
    """As `train`; read in order. With `folds` it may be left out; its samples are joined with the
    others."""
    image: Texts = ("jpg", "jpeg", "png", "tif", "tiff", "npy", "npz")
    """What follows the first dot in the name of an image; the first one that a sample has."""
    shuffle: NonNegativeInt = 1000
    """Samples that are mixed, among those next to each other in the shards' order of an epoch; larger mixes
    better and reads less in order. The samples of a few shards are a good number."""

    @model_validator(mode="after")
    def _something_to_validate(self) -> Self:
        if self.valid is None and self.folds is None:
            raise ValueError("valid is missing: name the shards for validation, or set folds")
        return self

    @field_validator("image", "mask", "label", check_fields=False)
    @classmethod
    def _no_pickles(cls, extensions: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(check_extension(each.removeprefix(".").lower()) for each in extensions)
