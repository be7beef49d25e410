"""Augmentation by functions of the user's own, and by those of albumentations, kornia and torchvision."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch

from trainables.findings import a_type
from trainables.imported import bind
from trainables.imported_options import ImportedOptions
from trainables.process.process_state import seeded

Pair = tuple[np.ndarray, np.ndarray | None]
"""An image uint8 [H, W, C], and its mask uint8 [H, W] if there is one."""
Call = Callable[[np.ndarray, np.ndarray | None, np.random.Generator], Any]


class Transforms:
    """Transforms by name, applied in their order.

    Each sees the random numbers of its sample alone, so what it makes is the same after a restart, in another
    process and in another batch.
    """

    def __init__(self, options: Mapping[str, ImportedOptions]) -> None:
        self._transforms = [Transform(each) for each in options.values()]

    def __bool__(self) -> bool:
        return bool(self._transforms)

    def joint(
        self, images: np.ndarray, masks: np.ndarray, randoms: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Transformed images [B, H, W, C] and masks [B, H, W].

        Args:
            randoms: float64 [B, R], of which each row makes the random numbers of one sample.

        Raises:
            ValueError: a transform raised, returned something else, or sizes that differ.
        """
        pairs = [self._one(*each) for each in zip(images, masks, randoms, strict=True)]
        together = self._stacked([image for image, _ in pairs])
        return together, np.stack([mask for _, mask in pairs if mask is not None])

    def images(self, images: np.ndarray, randoms: np.ndarray) -> np.ndarray:
        """The same of images alone."""
        pairs = zip(images, randoms, strict=True)
        return self._stacked([self._one(image, None, draws)[0] for image, draws in pairs])

    def _stacked(self, images: Sequence[np.ndarray]) -> np.ndarray:
        sizes = sorted({image.shape[:2] for image in images})
        if len(sizes) > 1:
            names = ", ".join(each.name for each in self._transforms)
            found = ", ".join(f"{width}x{height}" for height, width in sizes[:3])
            raise ValueError(f"{names} returned images of {found}; a batch needs one size")
        return np.stack(images)

    def _one(self, image: np.ndarray, mask: np.ndarray | None, randoms: np.ndarray) -> Pair:
        rng = np.random.default_rng(np.ascontiguousarray(randoms).view(np.uint64))
        for transform in self._transforms:
            image, mask = transform(image, mask, rng)
        return image, mask


class Transform:
    """One of them, made in the process that uses it."""

    def __init__(self, options: ImportedOptions) -> None:
        self._options = options
        self.name = options.name

    def __reduce__(self) -> tuple[Any, ...]:
        return Transform, (self._options,)

    @cached_property
    def _call(self) -> Call:
        made = bind(self.name, self._options.arguments)
        library = type(made).__module__.partition(".")[0]
        adapters: dict[str, Callable[[Any], Call]] = {
            "albumentations": _Albumentations,
            "kornia": _Kornia,
            "torchvision": _Torchvision,
        }
        return adapters.get(library, _Own)(made)

    def __call__(self, image: np.ndarray, mask: np.ndarray | None, rng: np.random.Generator) -> Pair:
        received = f"an image {_shown(image)}" + ("" if mask is None else f" and a mask {_shown(mask)}")
        try:
            result = self._call(image.copy(), None if mask is None else mask.copy(), rng)
        except Exception as error:
            raise ValueError(f"{self.name} of {received} raised {type(error).__name__}: {error}") from error
        new_image, new_mask = (result, None) if mask is None else _two(result, self.name)
        if not _is_like(new_image, image) or (mask is not None and not _is_like(new_mask, mask)):
            returned = _shown(new_image) + ("" if mask is None else f" and {_shown(new_mask)}")
            both = "" if mask is None else " and a mask uint8 [H, W] of the same size"
            raise ValueError(
                f"{self.name} of {received} returned {returned}; must be an image uint8 "
                f"[H, W, {image.shape[2]}]{both}"
            )
        if new_mask is not None and new_mask.shape != new_image.shape[:2]:
            raise ValueError(
                f"{self.name} returned an image {_shown(new_image)} and a mask {_shown(new_mask)}; the two "
                "must have the same size"
            )
        return new_image, new_mask


class _Own:
    """A function of image, mask and numpy.random.Generator; of image and generator where there is no mask."""

    def __init__(self, made: Any) -> None:
        self._made = made

    def __call__(self, image: np.ndarray, mask: np.ndarray | None, rng: np.random.Generator) -> Any:
        with seeded(int(rng.integers(2**32))):
            return self._made(image, rng) if mask is None else self._made(image, mask, rng)


class _Albumentations:
    """Called with `image=` and `mask=`, and gives a mapping."""

    def __init__(self, made: Any) -> None:
        import albumentations

        is_whole = isinstance(made, albumentations.BaseCompose)
        self._made: Any = made if is_whole else albumentations.Compose([made])

    def __call__(self, image: np.ndarray, mask: np.ndarray | None, rng: np.random.Generator) -> Any:
        self._made.set_random_seed(int(rng.integers(2**32)))
        given = {"image": image} if mask is None else {"image": image, "mask": mask}
        made = self._made(**given)
        return made["image"] if mask is None else (made["image"], made["mask"])


class _Tensors(ABC):
    """Called with tensors, and draws from torch's global random numbers."""

    def __init__(self, made: Any) -> None:
        self._made = made

    def __call__(self, image: np.ndarray, mask: np.ndarray | None, rng: np.random.Generator) -> Any:
        planes = torch.from_numpy(image).permute(2, 0, 1)
        labels = None if mask is None else torch.from_numpy(mask)
        with seeded(int(rng.integers(2**32))), torch.no_grad():
            planes, labels = self.transformed(planes, labels)
        new_image = planes.permute(1, 2, 0).numpy()
        return new_image if labels is None else (new_image, labels.numpy())

    @abstractmethod
    def transformed(
        self, image: torch.Tensor, mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Of an image uint8 [C, H, W] and a mask uint8 [H, W], as these."""


class _Kornia(_Tensors):
    """A module of batches float32 [B, C, H, W] from 0 to 1, and of masks [B, 1, H, W]."""

    def __init__(self, made: Any) -> None:
        from kornia.augmentation import AugmentationSequential

        self._alone = made
        super().__init__(AugmentationSequential(made, data_keys=["input", "mask"]))

    def transformed(
        self, image: torch.Tensor, mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        batch = image[None].float() / 255.0
        if mask is None:
            return _levels(self._alone(batch)), None
        new_image, new_mask = self._made(batch, mask[None, None].float())
        return _levels(new_image), new_mask[0, 0].round().to(torch.uint8)


class _Torchvision(_Tensors):
    """A transform of torchvision.transforms.v2, which knows masks by their type."""

    def transformed(
        self, image: torch.Tensor, mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        from torchvision import tv_tensors

        if mask is None:
            return self._made(tv_tensors.Image(image)), None
        new_image, new_mask = self._made(tv_tensors.Image(image), tv_tensors.Mask(mask))
        return new_image, new_mask


def _levels(images: torch.Tensor) -> torch.Tensor:
    return (images[0] * 255.0).round().clamp(0, 255).to(torch.uint8)


def _two(result: Any, name: str) -> Sequence[Any]:
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise ValueError(f"{name} returned {_shown(result)}; must be an image and a mask, as (image, mask)")
    return result


def _is_like(value: Any, before: np.ndarray) -> bool:
    """Whether it may take the place: of the same type and channels."""
    return (
        isinstance(value, np.ndarray)
        and value.dtype == before.dtype
        and value.ndim == before.ndim
        and value.shape[2:] == before.shape[2:]
    )


def _shown(value: Any) -> str:
    if isinstance(value, np.ndarray | torch.Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    return a_type(value)
