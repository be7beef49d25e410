"""`tune-search FILE.yaml` is `tune-search search FILE.yaml`; unknown words and options get a way out."""

from __future__ import annotations

import glob
import os

import click
from click.shell_completion import CompletionItem

from search.cli.paths import did_you_mean
from search.text import nearest


class DefaultCommand(click.Group):
    """The group whose default command is `search`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands:
            args = self._with_command(ctx, args)
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Commands and options, and files and folders, one of which may be a configuration's.

        A shell completes files by itself only where nothing else begins so.
        """
        found = super().shell_complete(ctx, incomplete)
        if not found:
            return [CompletionItem(incomplete, type="file")]
        return found + [CompletionItem(path) for path in (_paths(incomplete) if incomplete else ())]

    def _with_command(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The arguments with `search` before them, unless they begin with an option of the group.

        Raises:
            UsageError: the first is neither a command nor anything that looks like a file, or it is an option
                that belongs after the command.
        """
        first = args[0]
        if first.startswith("-"):
            if first.partition("=")[0] not in _options(self.commands["search"]) - _options(self):
                return args
            given = next((word for word in args if word in self.commands), None)
            if given is not None:
                raise click.UsageError(f"{first} stands before the command; write it after {given}", ctx)
        elif not os.path.exists(first) and os.sep not in first and not first.endswith((".yaml", ".yml")):
            close = nearest(first, self.commands)
            hint = f"; did you mean {close}?" if close else did_you_mean(first)
            commands = (
                f"; `tune-search CONFIG` runs a search, and commands are {', '.join(sorted(self.commands))}"
            )
            raise click.UsageError(f"there is no command or file {first}{hint or commands}", ctx)
        return ["search", *args]


def with_key(error: click.ClickException) -> click.ClickException:
    """The error, with the key that sets the same where an unknown option has the name of one."""
    if not isinstance(error, click.NoSuchOption) or error.ctx is None:
        return error
    if "--set" not in _options(error.ctx.command):
        return error
    name = error.option_name.lstrip("-").replace("-", "_")
    from search.config.keys import key_called  # which imports pydantic and torch

    key = key_called(name)
    if key is not None:
        message = f"there is no option {error.option_name}; `--set {key}=VALUE` sets it"
        return click.UsageError(message, error.ctx)
    return error


def _paths(begin: str) -> list[str]:
    """Folders and YAML files whose names begin so."""
    paths = sorted(glob.glob(f"{glob.escape(begin)}*"))
    folders = [f"{path}/" for path in paths if os.path.isdir(path)]
    return folders + [path for path in paths if path.endswith((".yaml", ".yml"))]


def _options(command: click.Command) -> set[str]:
    """All names of a command's options."""
    context = click.Context(command)
    return {name for option in command.get_params(context) for name in option.opts if name.startswith("-")}
