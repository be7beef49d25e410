"""The race of the best trials over seeds, as text."""

from __future__ import annotations

from search.commands.check import Check
from search.exports.export import Export
from search.race.confirmed import Confirmed, Standing
from search.text import counted, number_text, one_line


def confirmed_lines(race: Confirmed, metric: str) -> list[str]:
    """A row per candidate, the best first, and how they were compared."""
    chance = "" if _is_alone(race) else "chance of being best"
    rows: list[tuple[str, ...]] = [("", f"{metric}, mean", "std", "seeds", chance, "")]
    rows += [_row(race, standing) for standing in race.candidates]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    lines = [_headline(race, metric)]
    for *cells, end in rows:
        shown = (cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
        lines.append(f"  {'  '.join(shown)}  {end}".rstrip())
    lines += [f"  note: {one_line(note)}" for note in (*_undecided(race), *race.notes)]
    return [*lines, f"  {race.method}"] if race.winner is not None and not _is_alone(race) else lines


def _is_alone(race: Confirmed) -> bool:
    """Whether nothing was compared: one trial ran over the seeds."""
    return len(race.candidates) == 1


def _undecided(race: Confirmed) -> list[str]:
    """What is said of a winner from which the test tells others no worse."""
    rivals = [each for each in race.candidates if each.left_after is None and each.trial != race.winner]
    if race.winner is None or not rivals:
        return []
    names = ", ".join(str(each.trial) for each in rivals)
    return [f"the test does not tell trial {race.winner} from {names}; more seeds may: confirm --seeds N"]


def _headline(race: Confirmed, metric: str) -> str:
    best = race.best
    full = f"{counted(race.virtual_epochs, 'virtual epoch')} each, {race.steps:,} steps"
    if race.status == "outdated":
        return f"confirm: a race of an earlier state of the search, {full}"
    if race.status == "unfinished":
        return f"confirm: the race is not over, {full} so far"
    if best is None:
        return f"confirm: no run has a value, {full}"
    over = counted(best.seeds, "seed")
    if _is_alone(race):
        compared = "with no other trial to compare it with"
        return f"trial {best.trial}: {metric} {_with_spread(best)} over {over}, {compared}, {full}"
    return f"winner of the race, trial {best.trial}: {metric} {_with_spread(best)} over {over}, {full}"


def _with_spread(standing: Standing) -> str:
    mean = number_text(standing.mean)
    return mean if standing.std is None else f"{mean} ± {number_text(standing.std)}"


def _row(race: Confirmed, standing: Standing) -> tuple[str, ...]:
    chance = "" if standing.chance is None else f"{standing.chance:.0%}"
    chance = "<1%" if chance == "0%" and standing.chance else chance
    left = ""
    if standing.left_after is not None:
        why = "failed or diverged more often" if standing.p is None else f"worse, p = {standing.p:.2g}"
        left = f"left after {counted(standing.left_after, 'seed')}: {why}"
    elif standing.trial == race.winner:
        left = f"to export: seed {race.seed}, the run of median value"
    return (
        f"trial {standing.trial}",
        number_text(standing.mean),
        number_text(standing.std),
        str(standing.seeds),
        chance,
        left,
    )


def exported_winner(export: Export) -> str:
    """What the race says of what was exported, as lines; empty without a race."""
    found = export.confirmed
    if found is None:
        return f"note: {export.note}\n" if export.note else ""
    spread = "" if found["std"] is None else f" ± {number_text(found['std'])}"
    return (
        f"winner of the race: {export.metric} {number_text(found['mean'])}{spread} over "
        f"{counted(found['seeds'], 'seed')}; this is seed {found['seed']}, {found['which']}\n"
    )


def plan_row(check: Check) -> dict[str, str]:
    """What the race costs at most, for the plan."""
    if check.confirm is None:
        return {}
    plan, as_here = check.confirm, check.config.virtual_epoch.unit == "steps"
    best = "the best trial runs" if plan.top == 1 else f"the best {plan.top} trials race"
    most = f"up to {plan.virtual_epochs:,} virtual epochs or {plan.steps:,} steps more"
    here = "" if as_here else " at this trial's batch size"
    return {"confirm": f"then {best} over {plan.seeds} seeds at full length, {most}{here}"}
