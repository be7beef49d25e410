"""The optimizer of a trial: a class of torch.optim by name, or any by path, with parameters in groups."""

from __future__ import annotations

import difflib
import inspect
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

import torch
from torch import nn
from torch.optim import Optimizer

from trainables.findings import a_type
from trainables.imported import argument_problems, import_path, is_path
from trainables.optim.parts import Change, Group, changes

REFUSED = {
    "lbfgs": "it evaluates the loss again inside a step, through a closure; take adamw or sgd",
    "sparseadam": "it takes sparse gradients only; take adamw, or sgd, which accepts them too",
    "muon": "it takes two-dimensional parameters only, and models also have biases or kernels; take adamw",
}
"""Classes of torch.optim that cannot train an arbitrary model with plain steps, and why."""

Layer = Sequence[nn.Module | nn.Parameter]
"""A layer has one learning rate: parameters, or modules with all of theirs."""

_UNDECAYED = (nn.LayerNorm, nn.RMSNorm, nn.Embedding, nn.EmbeddingBag)
"""Modules whose matrices are not decayed either; biases and the vectors of other normalizations never are."""

_OWN_FIELDS = {"self", "params", "lr", "weight_decay"}
_IMPLEMENTATION = {"foreach", "fused", "capturable", "differentiable"}


class Settings(Protocol):
    """The fields of `trainables.options.OptimizerOptions`, so that this file needs torch only."""

    name: str
    lr: float
    weight_decay: float
    layer_decay: float

    @property
    def groups(self) -> Sequence[Group]: ...

    @property
    def extra(self) -> dict[str, Any]: ...


def build_optimizer(
    model: nn.Module, options: Settings, device: torch.device, layers: Sequence[Layer] = ()
) -> Optimizer:
    """An optimizer of the model's trainable parameters.

    `weight_decay` acts on matrices and kernels (two dimensions or more); biases, normalization parameters,
    embeddings and everything else below two dimensions are left out of it. Every group carries
    `initial_lr`, the peak that a schedule scales. The fused implementation is used where it works for these
    parameters on `device`, else the foreach one, unless `options` choose the implementation.

    With `layer_decay` below 1 the peak of a layer is lr * layer_decay**d, d layers away from the last one,
    as for ELECTRA (arXiv:2003.10555) and BEiT (arXiv:2106.08254). The groups of the last layer come first.

    Args:
        model: already on `device`.
        layers: parameters, or modules with all of theirs, from input to head; every trainable parameter in
            exactly one. Only used where `layer_decay` is below 1.

    Raises:
        ValueError: for a name that does not exist or a value that the class refuses, for a model without
            trainable parameters, and for layers that do not hold every parameter once.
    """
    cls = optimizer_class(options.name)
    groups = parameter_groups(
        model,
        lr=options.lr,
        weight_decay=options.weight_decay,
        layers=layers,
        layer_decay=options.layer_decay,
        changed=changes(model, options.groups),
    )
    if options.weight_decay and "weight_decay" not in inspect.signature(cls).parameters:
        raise ValueError(
            f"optimizer {cls.__name__} has no weight decay, got weight_decay {options.weight_decay}; "
            "set it to 0"
        )
    arguments = {key: _as_float_tuple(value) for key, value in options.extra.items()} | {"lr": options.lr}
    arguments |= _fastest_implementation(cls, model, arguments, device)
    try:
        optimizer = cls(groups, **arguments)  # type: ignore[call-arg]
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"optimizer {cls.__name__} refuses {arguments}: {error}") from error
    for group in optimizer.param_groups:
        group["initial_lr"] = float(group["lr"])
    return optimizer


def parameter_groups(
    model: nn.Module,
    *,
    lr: float,
    weight_decay: float,
    layers: Sequence[Layer],
    layer_decay: float,
    changed: Mapping[int, Change] = MappingProxyType({}),
) -> list[dict[str, Any]]:
    """Groups for torch.optim, none of them empty: layer by layer from the last one, decayed before undecayed.

    Args:
        changed: by the id of a parameter, see `trainables.optim.parts.changes`.

    Raises:
        ValueError: the model has nothing to train, or, where `layer_decay` is below 1, a trainable parameter
            is in no layer or in two.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise ValueError(
            f"model {type(model).__name__} has no trainable parameter; at least one must have requires_grad"
        )
    by_layer = [parameters] if layer_decay == 1.0 else _by_layer(model, layers, layer_decay)
    undecayed = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, _UNDECAYED)
        for parameter in module.parameters(recurse=False)
    }
    groups: list[dict[str, Any]] = []
    for distance, members in enumerate(reversed(by_layer)):
        decayed = [p for p in members if p.ndim >= 2 and id(p) not in undecayed]
        plain = [p for p in members if p.ndim < 2 or id(p) in undecayed]
        rate = lr * layer_decay**distance
        for some, decay in ((decayed, weight_decay), (plain, 0.0)):
            groups += _divided(some, rate, decay, changed)
    return groups


def _divided(
    parameters: Sequence[nn.Parameter], lr: float, weight_decay: float, changed: Mapping[int, Change]
) -> list[dict[str, Any]]:
    """Groups by what is changed of these, in the order in which they come."""
    alike: dict[Change, list[nn.Parameter]] = {}
    for parameter in parameters:
        alike.setdefault(changed.get(id(parameter), Change()), []).append(parameter)
    return [
        {
            "params": some,
            "lr": lr * change.lr_factor,
            "weight_decay": weight_decay if change.weight_decay is None else change.weight_decay,
        }
        for change, some in alike.items()
    ]


def _by_layer(model: nn.Module, layers: Sequence[Layer], layer_decay: float) -> list[list[nn.Parameter]]:
    """The trainable parameters of each layer, from input to head.

    Raises:
        ValueError: there are no layers, or they do not hold each of these parameters once.
    """
    if not layers:
        raise ValueError(
            f"layer_decay is {layer_decay:g}, but there are no layers of model {type(model).__name__}: "
            "give them, from input to head, in the task's layers(), or take layer_decay 1"
        )
    held = [list(_parameters(layer)) for layer in layers]
    times = Counter(id(parameter) for layer in held for parameter in layer)
    for number, rule in ((0, "no layer"), (2, "two layers")):
        wrong = [
            name
            for name, parameter in model.named_parameters()
            if parameter.requires_grad and min(times[id(parameter)], 2) == number
        ]
        if wrong:
            more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
            raise ValueError(
                f"{', '.join(wrong[:3])}{more} of model {type(model).__name__} in {rule}; layers() must "
                "hold every trainable parameter exactly once"
            )
    return [[parameter for parameter in layer if parameter.requires_grad] for layer in held]


def _parameters(layer: Layer) -> Iterator[nn.Parameter]:
    for part in layer:
        yield from part.parameters() if isinstance(part, nn.Module) else (part,)


def optimizer_names() -> list[str]:
    """Names that `build_optimizer` takes, in lower case and sorted."""
    return sorted(set(_classes()) - set(REFUSED))


def optimizer_class(name: str) -> type[Optimizer]:
    """The class of torch.optim with this name, in any case, or the one at a path.

    Raises:
        ValueError: if there is none (with the nearest name), or it cannot be used here (with the reason).
    """
    if is_path(name):
        return _imported_class(name)
    key = name.lower()
    if key in REFUSED:
        raise ValueError(f"optimizer {name!r} cannot be used: {REFUSED[key]}")
    known = optimizer_names()
    if key not in known:
        raise ValueError(
            f"optimizer {name!r} is not a class of torch.optim; nearest is {_nearest(key, known)!r} "
            f"(known: {', '.join(known)})"
        )
    return _classes()[key]


def check_options(name: str, extra: Iterable[str]) -> None:
    """Check names only: the optimizer's, and those of its options besides lr and weight_decay.

    Raises:
        ValueError: naming the value received and the nearest known one.
    """
    cls = optimizer_class(name)
    if is_path(name):
        for key, message in argument_problems(name, dict.fromkeys(extra), ("params",)):
            if key is not None:
                raise ValueError(message)
        return
    known = sorted(set(inspect.signature(cls).parameters) - _OWN_FIELDS)
    for option in extra:
        if option not in known:
            raise ValueError(
                f"optimizer {cls.__name__} has no option {option!r}; nearest is {_nearest(option, known)!r} "
                f"(known: {', '.join(known)})"
            )


def _imported_class(path: str) -> type[Optimizer]:
    found: Any = import_path(path)
    if not (isinstance(found, type) and issubclass(found, Optimizer)):
        kind = f"class {found.__name__}" if isinstance(found, type) else a_type(found)
        raise ValueError(f"{path} is {kind}; must be a subclass of torch.optim.Optimizer")
    return found


def _classes() -> dict[str, type[Optimizer]]:
    members = inspect.getmembers(torch.optim, inspect.isclass)
    return {name.lower(): cls for name, cls in members if issubclass(cls, Optimizer) and cls is not Optimizer}


def _nearest(word: str, known: list[str]) -> str:
    return difflib.get_close_matches(word, known, n=1, cutoff=0.0)[0]


def _as_float_tuple(value: Any) -> Any:
    """Lists of YAML as torch.optim wants them: betas [0, 0.99] becomes (0.0, 0.99)."""
    if isinstance(value, list | tuple):
        return tuple(float(item) if isinstance(item, int) else item for item in value)
    return value


def _fastest_implementation(
    cls: type[Optimizer], model: nn.Module, options: Mapping[str, Any], device: torch.device
) -> dict[str, bool]:
    """{"fused": True}, {"foreach": True} or {}: what works here and the caller left open."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    sparse = any(getattr(module, "sparse", False) is True for module in model.modules())
    usual = all(p.is_floating_point() and p.device.type == device.type for p in parameters)
    if sparse or not usual or _IMPLEMENTATION & set(options):
        return {}
    for choice in ("fused", "foreach"):
        known = choice in inspect.signature(cls).parameters
        if known and _works(cls, {**options, choice: True}, {p.dtype for p in parameters}, device):
            return {choice: True}
    return {}


def _works(
    cls: type[Optimizer], options: Mapping[str, Any], dtypes: set[torch.dtype], device: torch.device
) -> bool:
    """Whether one step on small tensors of these types goes through."""
    parameters = [nn.Parameter(torch.zeros(2, 2, dtype=dtype, device=device)) for dtype in dtypes]
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    try:
        cls(parameters, **options).step()
    except (RuntimeError, TypeError, ValueError):
        return False  # a wrong option shows when the real one is built
    return True
