"""docs/keys.md: every key of the YAML, from the schema that editors read.

python -m documentation.keys        # write the page again; a test fails where it is out of date
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from documentation.pages import ROOT
from documentation.values import called, default, domain, refs, target, type_of
from search.commands.schema import schema
from search.space.domains import DOMAIN_NAMES
from trainables.files import atomic_write

PAGE = ROOT / "docs" / "keys.md"
Node = Mapping[str, Any]

_HEAD = """\
# Every key

This page is made from the JSON Schema of configurations (`python -m documentation.keys`), which
[editors](configuration.md#completion-in-the-shell-and-in-editors) read too.
[The configuration](configuration.md) explains how the keys work together.

Bold keys are required. Below `trial` each value may be a domain in its place: `choice` always, and where the
column says `numbers` or `integers`, the domains of those too. No other section has domains.

## Domains

| domain | value |
|---|---|"""

_SECTIONS = {
    "objective": "What is optimized; or `objectives`.",
    "virtual_epoch": "The amount of training between two reports.",
    "budget": "Where the search ends.",
    "sampler": "Where the next values come from.",
    "scheduler": "What pauses, promotes and ends trials.",
    "plateau": "Ends a trial, or a search, that no longer improves.",
    "resources": "What a trial takes of the machine.",
    "checkpoint": "Which checkpoints are written and kept.",
    "data": "Where samples come from.",
    "model": "The network, or the networks.",
    "optimizer": "What changes the weights.",
    "lr_schedule": "The learning rate over the steps of a trial.",
    "loss": "What is minimized.",
    "augment": "Random changes of training samples.",
    "validation": "How whole images are predicted and measured.",
    "evaluation": "How samples are drawn and measured.",
}
"""Of keys that have a section of their own and no text besides."""


@dataclass
class _Page:
    """The text so far, the schema's definitions, and the titles of those that have a section."""

    defs: Mapping[str, Node]
    lines: list[str] = field(default_factory=list)
    titles: dict[str, str] = field(default_factory=dict)
    task: str = ""
    """The built-in task whose options are written; empty for what all have."""

    def add_title(self, name: str, path: str) -> None:
        """The title of a definition: the first path that leads to it, and its name there."""
        properties = self.defs[name].get("properties", {})
        names = [called(properties[key]) for key in ("name", "source", "to") if key in properties]
        title = ": ".join([path, *filter(None, names)])
        if title in self.titles.values():
            title += f", {self.task or len(self.titles)}"
        self.titles[name] = title

    def link(self, name: str) -> str:
        """A link to the section, called as the value is in the table: `asha`, `by its path`, `optimizer`."""
        title = self.titles[name]
        return f"[{title.partition(',')[0].rpartition('.')[2].rpartition(': ')[2]}](#{anchor(title)})"


def anchor(title: str) -> str:
    """The anchor of a heading, as GitHub and the site make it."""
    return re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", title.lower()).strip())


def page() -> str:
    """The whole page, in Markdown."""
    whole = schema()
    defs = whole["$defs"]
    made = _Page(defs)
    made.lines += [*_HEAD.splitlines(), *_domains(defs), "", "## Top level", ""]
    _section(made, "", whole["properties"], whole["then"]["required"])
    of_tasks = {
        rule["if"]["properties"]["task"]["const"]: defs[target(rule["then"]["else"]["properties"]["trial"])]
        for rule in whole["allOf"]
    }
    first = next(iter(of_tasks.values()))["properties"]
    common = {
        key: node
        for key, node in first.items()
        if all(of["properties"].get(key) == node for of in of_tasks.values())
    }
    made.lines += ["", "## trial", "", "What every built-in task has; what each has besides follows.", ""]
    _section(made, "trial", common, ())
    for made.task, of in of_tasks.items():
        made.lines += ["", f"## trial, {made.task}", ""]
        own = {key: node for key, node in of["properties"].items() if key not in common}
        _section(made, "trial", own, of.get("required", ()))
    return "\n".join(made.lines) + "\n"


def _domains(defs: Mapping[str, Node]) -> Iterator[str]:
    for name in DOMAIN_NAMES:
        told = "[first, second, …], numbers, texts, or mappings with domains of their own"
        if name != "choice":
            told = defs[name]["properties"][name]["description"]
        yield f"| `{name}` | {told} |"
    beside = defs["uniform"]["properties"]
    yield f"| `prior`, beside one of these | {beside['prior']['description']} |"
    options = ", ".join(beside["confidence"]["enum"])
    yield f"| `confidence`, beside a prior | {options}. {beside['confidence']['description']} |"


def _section(made: _Page, path: str, properties: Mapping[str, Node], required: Sequence[str]) -> None:
    """A table of keys, and a section for each definition that they refer to and that has none yet."""
    places = [(name, f"{path}.{key}".lstrip(".")) for key, node in properties.items() for name in refs(node)]
    new = {name: place for name, place in reversed(places) if name not in made.titles}
    for name, place in reversed(new.items()):
        made.add_title(name, place)
    domains = path.startswith("trial")
    if properties:
        heads = ["key", "value", *(["domain"] if domains else []), "default", "meaning"]
        made.lines += [_row(heads), _row(["---"] * len(heads)).replace(" ", "")]
    for key, node in properties.items():
        shown = f"**`{key}`**" if key in required else f"`{key}`"
        meaning = _text(node.get("description") or _SECTIONS.get(key, ""))
        value = "mapping: [trial](#trial)" if (path, key) == ("", "trial") else type_of(node, made.link)
        made.lines.append(_row([shown, value, *([domain(node)] if domains else []), default(node), meaning]))
    for name, place in reversed(new.items()):
        definition = made.defs[name]
        made.lines += ["", f"{'###' if path else '##'} {made.titles[name]}", ""]
        if told := definition.get("description"):
            made.lines += [_text(told, between="\n\n"), ""]
        _section(made, place, definition.get("properties", {}), definition.get("required", ()))
        if definition.get("additionalProperties") is True:
            made.lines += ["", "Other keys are arguments of what `name` is, or of the built-in class."]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _text(told: str, *, between: str = " ") -> str:
    """A docstring as Markdown: its paragraphs, each in one line, with that between them."""
    text = between.join(" ".join(paragraph.split()) for paragraph in told.split("\n\n"))
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


if __name__ == "__main__":
    atomic_write(PAGE, page())
    print(f"{PAGE.relative_to(ROOT)} written")
