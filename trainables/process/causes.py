"""What an exception of a task means: where it was raised, what to change, and whether it comes again."""

from __future__ import annotations

import functools
import json
import re
import site
import sysconfig
import traceback
from pathlib import Path

MAX_LINE = 400
"""Characters of an exception's text that are shown on one line; the whole is in the file with the trace."""
_FIRST_LINES, _LAST_LINES = 8, 3

_OURS = Path(__file__).parents[2]
_INSTALLED = tuple(
    f"{Path(folder).resolve()}/"
    for folder in (
        *site.getsitepackages(),
        site.getusersitepackages(),
        *map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib")),
    )
)
_TERSE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    SystemExit,
    TypeError,
)
"""Of these the text alone does not say where; of others that the user's own code raises it does."""

_ADVICE = (
    (
        "Expected more than 1 value per channel",
        "batch normalization needs more than one value per channel: take a larger trial.batch_size (of 1, or "
        "of the last batch), larger images or crops, a smaller model.depth, or another model.normalization",
    ),
    (
        r"Kernel size can't be greater than actual|padded input size per channel|[Oo]utput size is too small|"
        r"Padding size should be less than",
        "the images are too small for so deep a model: take a smaller model.depth, or larger images or crops",
    ),
    (
        r"and Double|[Dd]ouble and|Double but|but found Double|!= double|double !=|DoubleTensor\)",
        "float64 meets float32: give the data as float32, as by array.astype(np.float32) or .float(), and "
        "leave the weights in it",
    ),
    (
        r"and (Half|BFloat16)|(Half|BFloat16) and|(Half|BFloat16) but",
        "half precision meets float32: leave model and data in float32, and set trial.precision: bf16",
    ),
    (
        r"(load_data|prepare|data_fingerprint|inspect)\(\) missing 1 required positional argument",
        "it is a class method: write @classmethod above it, and (cls, options) for its arguments",
    ),
    (
        r"(train_data|valid_data|build_model|metrics)\(\) missing \d+ required positional argument",
        "it is called without arguments: options are in self.options, data in self.arrays",
    ),
    (
        r"(array|destination) is read-only",
        "what load_data() and prepare() return is shared by all trials: change a copy, or change it there",
    ),
    (
        r"Long but found|Long or Byte, but got|floating point type for target|nll_loss.* not implemented",
        "the targets of a classification must be int64: targets.long()",
    ),
    (
        r"'?Sparse(CPU|CUDA)|sparse gradients|[Ss]parse(CPU|CUDA)?Tensor",
        "the model has sparse gradients, as of nn.Embedding(sparse=True): take sparse=False",
    ),
    (
        "default_collate: batch must contain",
        "a sample of train_data() or valid_data() holds something else: return tensors, arrays, numbers, or "
        "tuples, dicts or dataclasses of them; or a DataLoader with a collate_fn of its own",
    ),
    (
        r"must be Tensor, not (list|tuple)",
        "a list of numbers in a sample becomes a list of tensors: return np.asarray(numbers, np.float32)",
    ),
    (
        "does not require grad and does not have a grad_fn",
        "the loss depends on no parameter that is trained: compute it from the outputs of the model, without "
        "detach(), .item(), numpy or torch.no_grad()",
    ),
    (
        r"modified by an inplace operation|a view of a leaf Variable that requires grad",
        "the model or loss() changes a tensor in place that the gradient needs: write x = x + y for x += y",
    ),
)
_SHAPES = re.compile(
    r"shapes? |sizes? |dimension|dtype|scalar type|must match|expected (input|\d|m1|all tensors)|"
    r"Sparse(CPU|CUDA)|does not require grad|inplace operation|not implemented for|invalid for input|"
    r"Expected|out of bounds|out of range|[Uu]ninitialized|state_dict|Target \d+|leaf"
)
_PASSING = re.compile(
    r"CUDA error|CUDA driver|cuDNN|CUDNN|NCCL|cuBLAS|CUBLAS|nvml|NVML|unspecified launch|"
    r"[Cc]onnection|[Tt]imed? ?out|[Tt]emporar|was killed|is killed by signal|exited unexpectedly"
)
_UNSURE = (json.JSONDecodeError, UnicodeError)
"""Of a file that another process was writing, for one."""
_PROGRAMMING = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    NotImplementedError,
    SyntaxError,
    SystemExit,
    TypeError,
    ValueError,
)


def place_of(error: BaseException) -> str:
    """`tasks.py:12, in build_model`: where the user's own code was when this was raised; else empty."""
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if is_own(frame.filename)]
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}, in {own[-1].name}" if own else ""


def place_if_needed(error: BaseException) -> str:
    """As `place_of`; empty where the user's own code has raised it with a text of its own."""
    frames = traceback.extract_tb(error.__traceback__)
    said = not isinstance(error, _TERSE) and bool(frames) and is_own(frames[-1].filename)
    return "" if said else place_of(error)


def advice(text: str) -> str:
    """What to change about an error of torch with this text; empty where nothing is known."""
    return next((what for sign, what in _ADVICE if re.search(sign, text)), "")


def comes_again(error: BaseException, text: str) -> bool:
    """Whether another attempt at the trial, which computes the same, is sure to meet this error again."""
    if may_pass(error, text) or isinstance(error, _UNSURE):
        return False
    return isinstance(error, _PROGRAMMING) or (isinstance(error, RuntimeError) and bool(_SHAPES.search(text)))


def may_pass(error: BaseException, text: str) -> bool:
    """Whether the machine or the network may be the cause, so that the same text may come twice by chance."""
    return any(isinstance(each, OSError | EOFError) for each in _chain(error)) or bool(_PASSING.search(text))


def on_one_line(text: str, where: str = "error.txt") -> str:
    """The first line, cut where it is too long; `where` names the file that holds the whole."""
    first = next(iter(text.splitlines()), "")
    if len(first) <= MAX_LINE:
        return first
    return f"{first[:MAX_LINE]}... ({len(text):,} characters, the whole is in {where})"


def shortened(text: str) -> str:
    """The first and last lines of a long text, each cut where it is too long."""
    lines = [
        line if len(line) <= MAX_LINE else f"{line[:MAX_LINE]}... ({len(line):,} characters)"
        for line in text.splitlines()
    ]
    left_out = len(lines) - _FIRST_LINES - _LAST_LINES
    if left_out <= 1:
        return "\n".join(lines)
    return "\n".join([*lines[:_FIRST_LINES], f"... ({left_out} lines left out)", *lines[-_LAST_LINES:]])


def with_advice(cause: str, error: BaseException, text: str) -> str:
    """The cause, with the line of the user's own code and what to change, where these help."""
    change = advice(text)
    place = place_of(error) if change else place_if_needed(error)
    return cause + (f" ({place})" if place else "") + (f"; {change}" if change else "")


def cause_text(error: BaseException, where: str) -> str:
    """What a person reads of an exception outside of a trial: some lines; `where` holds the whole."""
    text, name = text_of(error), type(error).__name__
    if isinstance(error, SystemExit):
        return with_advice(f"{name}: {exit_text(error)}", error, text)
    if advice(text):
        return with_advice(f"{name}: {on_one_line(text, where)}", error, text)
    short = shortened(text)
    cut = f"\n(cut: the whole is in {where})" if short != text else ""
    return with_advice(f"{name}: {short}", error, text) + cut


def text_of(error: BaseException) -> str:
    """An exception's text; even reading that may fail."""
    try:
        # A KeyError shows its text as a literal, in quotes.
        return str(error.args[0] if isinstance(error, KeyError) and error.args else error).strip()
    except Exception as broken:
        return f"its text cannot be shown ({type(broken).__name__})"


def exit_text(error: SystemExit) -> str:
    """What the task's code has said when it ended the program."""
    code = error.code
    return str(code) if isinstance(code, str) else f"sys.exit({'' if code is None else code}) was called"


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return found


def is_installed(path: Path) -> bool:
    """Whether a file or folder is one of Python's own or of an installed package."""
    return f"{path.resolve()}/".startswith(_INSTALLED)


@functools.cache
def is_own(file: str) -> bool:
    """Whether a file of code is the user's: not of Python, of an installed package or of this one."""
    path = Path(file)
    ours = any(path.resolve().is_relative_to(_OURS / package) for package in ("trainables", "search"))
    return not (file.startswith("<") or ours or is_installed(path))
