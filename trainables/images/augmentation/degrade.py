"""What a worse camera does to images: blur, low resolution and noise; and what covers a part of them."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from trainables.images.augmentation.flips_and_light import Draw, chosen
from trainables.images.augmentation.options import CutoutOptions, JointAugmentOptions

_TRUNCATE = 4.0
"""Standard deviations from which on the Gaussian is 0, as in scipy."""
_ROWS = 64
"""Of an image that are blurred at once."""


def degraded(image: np.ndarray, randoms: np.ndarray, augment: JointAugmentOptions) -> np.ndarray:
    """One image uint8 [H, W, C], blurred, at low resolution and with noise, if it is chosen for them."""
    if augment.blur is not None and (rng := chosen(randoms, Draw.BLUR, augment.blur)):
        image = blurred(image, augment.blur.sigma * rng.random())
    low = augment.low_resolution
    if low is not None and (rng := chosen(randoms, Draw.LOW_RESOLUTION, low)):
        image = at_low_resolution(image, 1.0 - (1.0 - low.zoom) * rng.random())
    if augment.noise is not None and (rng := chosen(randoms, Draw.NOISE, augment.noise)):
        image = noisy(image, augment.noise.std * rng.random(), seed=int(rng.integers(2**63)))
    return image


def blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    """The image under a Gaussian of `sigma` pixels, mirrored at its borders."""
    radius = int(_TRUNCATE * sigma + 0.5)
    if radius < 1 or not image.size:
        return image
    weights = np.exp(-0.5 * (np.arange(radius + 1) / sigma) ** 2)
    weights = (weights / (2.0 * weights.sum() - weights[0])).astype(np.float32)
    height, width, channels = image.shape
    margins = (radius, radius), (radius, radius), (0, 0)
    padded = np.pad(image, margins, mode="symmetric").reshape(height + 2 * radius, -1)
    result = np.empty((height, width * channels), np.uint8)
    for top in range(0, height, _ROWS):  # which fit into the cache of a core
        rows = padded[top : top + _ROWS + 2 * radius].astype(np.float32)
        smooth = _smoothed(_smoothed(rows, weights, 1).T, weights, channels).T
        result[top : top + _ROWS] = smooth + np.float32(0.5)
    return result.reshape(image.shape)


def _smoothed(rows: np.ndarray, weights: np.ndarray, step: int) -> np.ndarray:
    """Along the first axis, whose neighbours are `step` apart, without its margins."""
    margin = step * (len(weights) - 1)
    length = len(rows) - 2 * margin
    total = rows[margin : margin + length] * weights[0]
    pair = np.empty_like(total)
    for place, weight in enumerate(weights[1:].tolist(), start=1):
        before, after = margin - place * step, margin + place * step
        np.add(rows[before : before + length], rows[after : after + length], out=pair)
        pair *= np.float32(weight)
        total += pair
    return total


def at_low_resolution(image: np.ndarray, zoom: float) -> np.ndarray:
    """The image with `zoom` times as many pixels along each side, the nearest ones, at its own size again."""
    height, width = image.shape[:2]
    small = max(1, round(height * zoom)), max(1, round(width * zoom))
    if small == (height, width) or not image.size:
        return image
    planes = torch.from_numpy(np.require(image, requirements=["C", "W"])).permute(2, 0, 1)[None]
    fewer = F.interpolate(planes, size=small, mode="nearest-exact")
    return np.stack(list(F.interpolate(fewer, size=(height, width), mode="bilinear")[0].numpy()), axis=-1)


def noisy(image: np.ndarray, std: float, *, seed: int) -> np.ndarray:
    """The image with independent Gaussian noise in each pixel and channel; `std` is 1 for the full range."""
    if not std or not image.size:
        return image
    noise = torch.empty(image.shape)
    noise.normal_(0.0, 255.0 * std, generator=torch.Generator().manual_seed(seed))
    noise += torch.from_numpy(np.require(image, requirements=["C", "W"]))
    return noise.add_(0.5).clamp_(0.0, 255.0).to(torch.uint8).numpy()


def cut_out(images: np.ndarray, randoms: np.ndarray, options: CutoutOptions | None) -> np.ndarray:
    """Squares of normalized images [B, H, W, C] become 0, the mean colour, in place."""
    for image, row in zip(images, randoms, strict=True):
        if options is not None and (rng := chosen(row, Draw.CUTOUT, options)):
            height, width = image.shape[:2]
            half = options.size * min(height, width) / 2.0
            for y, x in rng.random((options.holes, 2)) * (height, width):
                top, left = max(0, round(y - half)), max(0, round(x - half))
                image[top : max(0, round(y + half)), left : max(0, round(x + half))] = 0.0
    return images
