"""`priors:`: where the domains that have no prior of their own get one from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from search.addresses import local_path
from search.config.sections.recipes import RECIPES
from search.config.sections.section import Section
from search.errors import RefusedError
from search.space.domains import Confidence
from search.text import compact, nearest


def _known(recipe: str) -> str:
    if recipe in RECIPES:
        return recipe
    close = nearest(recipe, RECIPES)
    hint = f"; did you mean {close!r}?" if close else ""
    raise ValueError(f"must be {' or '.join(RECIPES)}{hint}")


def _here(given: str | None) -> str | None:
    try:
        return given if given is None or "://" not in given else str(local_path(given))
    except RefusedError as error:
        raise ValueError(f"received {given}; {error}") from None


class Priors(Section):
    """Priors from elsewhere: from a former run, from a recipe, or from both, the run first."""

    from_run: Annotated[str | None, Field(min_length=1), AfterValidator(_here)] = None
    """Folder of a run, of any task and data, whose best trial's values are taken."""
    recipe: Annotated[str, AfterValidator(_known)] | None = None
    """What is usual for a kind of task: segmentation."""
    confidence: Confidence | None = None
    """Of all that are taken (default: medium for those of a run; a recipe has its own)."""

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.from_run is None and self.recipe is None:
            raise ValueError("must name a run or a recipe: from_run: results/NAME, or recipe: segmentation")
        return self


def as_override(priors: Mapping[str, Any]) -> str:
    """The value of `--set` that has the same effect; in JSON, so that any path is itself."""
    if set(priors) == {"from_run"}:
        return f"priors.from_run={compact(priors['from_run'])}"
    return f"priors={compact(priors)}"


def _as_recipe(given: Any) -> Any:
    return {"recipe": given} if isinstance(given, str) else given


AnyPriors = Annotated[Priors, BeforeValidator(_as_recipe, json_schema_input_type=str | Priors)]
