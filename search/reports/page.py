"""The report of a run as one HTML page that needs nothing else: texts, pictures, data and what draws them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from search.fidelity.audit import audit
from search.listing.rows import failures_of
from search.reports.answer import answer_of
from search.reports.columns import columns
from search.reports.opened import OpenedRun
from search.reports.pictures import pictures_of
from search.retraining.begun import RETRAINED
from search.retraining.values import read_folds
from search.run.before.provenance import last_versions
from search.screen.texts.audit import audit_lines
from search.screen.texts.confirm import confirmed_lines
from search.screen.texts.folds import fold_lines
from search.screen.texts.forecast import compared_text
from search.screen.texts.summary import next_commands
from search.study.lineage import schedule_lines
from search.text import command, counted, program

_SCRIPTS = ("base", "chart", "curves", "slices", "parallel", "timeline", "page")
"""In the order in which they need each other."""


def page_of(run: OpenedRun) -> str:
    """The page; it makes no request, and every text of the run is shown as text."""
    stages = [columns(stage, running=run.is_running and stage is run.stages[-1]) for stage in run.stages]
    has_trials = any(stage.ranked for stage in run.stages)
    shown = run.stages.index(run.last)
    pictures = pictures_of(run.last)
    failures = [
        (", ".join(map(str, trials)), cause)
        for stage in run.stages
        for cause, trials in failures_of(stage).items()
    ]
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["with_code"] = _with_code
    return environment.from_string(_static("page.html")).render(
        name=run.folder.path.name,
        title=_title(run),
        answer=answer_of(run),
        written=f"{datetime.now(UTC):%F %H:%M} UTC",
        version=version("tune-search"),
        sections=_sections(has_trials, bool(failures), bool(pictures)),
        schedule=_schedule(run),
        texts=list(_texts(run)),
        stages=[stage.name for stage in run.stages],
        shown=shown,
        has_trials=has_trials,
        failures=failures,
        pictures=pictures,
        configuration=run.folder.config.read_text(encoding="utf-8"),
        versions=", ".join(f"{name} {each}" for name, each in last_versions(run.folder).items()),
        next_lines=_next(run),
        style=Markup(_static("page.css")),
        script=Markup("\n".join(_static(f"{name}.js") for name in _SCRIPTS)),
        data=_embedded({"stages": stages, "shown": shown}),
    )


def _title(run: OpenedRun) -> str:
    """What a browser shows of the page among others."""
    answer, name = answer_of(run), run.folder.path.name
    found = f"a front of {counted(len(answer.front) - 1, 'trial')}" if answer.front else answer.value
    return f"{name}: {found or answer.what}"


def _static(name: str) -> str:
    return files("search.reports").joinpath("static", name).read_text(encoding="utf-8")


def _with_code(text: str) -> Markup:
    """The text, with what stands between backticks as code."""
    parts = (
        Markup("<code>{}</code>" if place % 2 else "{}").format(part)
        for place, part in enumerate(text.split("`"))
    )
    return Markup("").join(parts)


def _embedded(value: Any) -> Markup:
    """JSON that nothing in it can end: a category may be named `</script>`."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def _sections(has_trials: bool, has_failures: bool, has_pictures: bool) -> list[tuple[str, str]]:
    charts = [
        ("curves-section", "learning curves"),
        ("importance-section", "what mattered"),
        ("parallel-section", "parameters and values"),
        ("trials-section", "trials"),
        ("timeline-section", "timeline"),
    ]
    return [
        *(charts if has_trials else []),
        *([("failures", "failures")] if has_failures else []),
        *([("pictures", "pictures")] if has_pictures else []),
        ("configuration", "configuration"),
        ("next", "what to type next"),
    ]


def _schedule(run: OpenedRun) -> Sequence[str]:
    best = None if run.summary is None else run.summary.best
    return [] if best is None else schedule_lines(best.schedule)


def _texts(run: OpenedRun) -> Iterator[tuple[str, Sequence[str]]]:
    """What other commands tell in lines: the race, the folds, how far rungs can be believed, the forecast."""
    metric = run.last.config.objective.metric
    if run.race is not None:
        yield "The race of the best trials over seeds", confirmed_lines(run.race, metric)
    if (folds := read_folds(run.folder.path / RETRAINED)) is not None:
        yield "The folds of the data", fold_lines(folds)
    if not run.last.config.objectives:
        found = audit(run.last.records, run.last.scheduler.rungs, run.last.config)
        lines = audit_lines(found)[1:]
        if lines:
            yield "How far early values can be believed", lines
    if run.summary is not None and run.summary.forecast is not None:
        yield "Forecast and fact", [compared_text(run.summary.forecast)]


def _next(run: OpenedRun) -> list[str]:
    """What the last screen of the search says, or what can be done while it runs."""
    if run.summary is not None:
        lines = next_commands(run.summary, ())
        return lines[1:] if lines[0] == "next" else lines
    folder = run.folder.path
    again = command("report", folder) if run.is_running else command("resume", folder)
    return [program("tensorboard", "--logdir", folder), again]
