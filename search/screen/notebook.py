"""The live view in a cell of a notebook: the terminal's, as HTML that is replaced in place."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from html import escape
from pathlib import Path

from rich.console import Console, RenderableType

from search.screen.live import LiveView

_COLUMNS = 110
_SECONDS = 0.5
"""Between two pictures."""
_PAGE = (
    '<pre style="white-space:pre;overflow-x:auto;line-height:normal;'
    "font-family:Menlo,'DejaVu Sans Mono',Consolas,monospace\">{code}</pre>"
)


def in_notebook() -> bool:
    """Whether this process runs the cells of a notebook."""
    if "IPython" not in sys.modules:
        return False
    from IPython.core.getipython import get_ipython

    return getattr(get_ipython(), "kernel", None) is not None


@contextmanager
def notebook(log_file: Path) -> Iterator[NotebookView]:
    """The view in this cell; what Ray and the trials print goes into `log_file`."""
    view = NotebookView()
    with log_file.open("a", encoding="utf-8", errors="backslashreplace") as log:
        try:
            with redirect_stdout(log), redirect_stderr(log):
                yield view
        finally:
            view.end()


class NotebookView(LiveView):
    """Shows a search in the cell that runs it; the last picture stays."""

    def __init__(self) -> None:
        console = Console(file=io.StringIO(), width=_COLUMNS, force_terminal=True, force_jupyter=False)
        super().__init__(console, _Cell(self._render))

    def last_words(self, text: str) -> None:
        self._live.stop()
        print(text, file=sys.stderr, flush=True)


class _Cell:
    """Draws what `render` returns twice a second, in one output of the cell."""

    def __init__(self, render: Callable[[], RenderableType]) -> None:
        self._render = render
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        if self._thread is not None:
            return
        from IPython.display import HTML, display

        self._html = HTML
        self._output = display(HTML(self._page()), display_id=True)
        self._thread = threading.Thread(target=self._draw, name="notebook view", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        if self._thread is None or self._stopping.is_set():
            return
        self._stopping.set()
        self._thread.join()
        self._output.update(self._html(self._page()))

    def _draw(self) -> None:
        while not self._stopping.wait(_SECONDS):
            self._output.update(self._html(self._page()))

    def _page(self) -> str:
        console = Console(
            file=io.StringIO(), width=_COLUMNS, record=True, force_terminal=True, force_jupyter=False
        )
        try:
            console.print(self._render())
        except Exception as error:  # the search changes its records meanwhile; the next picture is whole
            return f"<pre>{escape(str(error))}</pre>"
        return console.export_html(inline_styles=True, code_format=_PAGE)
