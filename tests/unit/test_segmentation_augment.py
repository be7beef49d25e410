import numpy as np
import pytest
import torch

from trainables.images.augmentation.crops import cropped
from trainables.images.augmentation.flips_and_light import IGNORE, flip, normalize, window_of
from trainables.images.augmentation.options import JointAugmentOptions
from trainables.images.samples import FlatSamples, StackedSamples
from trainables.images.source import SegmentationSource

MEAN, STD = np.array([0.4], np.float32), np.array([0.25], np.float32)
FILL = np.array([102], np.uint8)


def arrays(count=6, height=10, width=12, seed=0):
    """Masks that are a function of the image, so that a joint change keeps them in step."""
    images = np.random.default_rng(seed).integers(0, 256, (count, height, width, 1), np.uint8)
    masks = images[..., 0] // 64
    images.flags.writeable = masks.flags.writeable = False
    return images, masks


def randoms(count, seed=1):
    return np.random.default_rng(seed).random((count, 8))


def source(augmentation, **of_arrays):
    return SegmentationSource(StackedSamples(*arrays(**of_arrays)), MEAN, STD, augmentation)


def pixels(images):
    return ((images.permute(0, 2, 3, 1).numpy() * STD + MEAN) * 255).round().astype(np.uint8)


def test_validation_batch_is_the_whole_normalized_image():
    images, masks = arrays()
    batch = source(JointAugmentOptions(horizontal_flip=1.0)).batch(np.array([2, 0]), None)
    torch.testing.assert_close(
        batch[0], torch.from_numpy((images[[2, 0]] / 255.0 - 0.4) / 0.25).float().permute(0, 3, 1, 2)
    )
    np.testing.assert_array_equal(batch[1].numpy(), masks[[2, 0]])
    assert (batch[0].dtype, batch[1].dtype) == (torch.float32, torch.int64)


def test_batch_is_a_pure_function_of_indices_and_randoms():
    everything = JointAugmentOptions(
        horizontal_flip=0.5, vertical_flip=0.5, crop=8, scale_min=0.5, scale_max=2.0,
        brightness=0.2, contrast=0.2, gamma=0.3,
    )  # fmt: skip
    data = source(everything)
    together = data.batch(np.arange(6), randoms(6))
    for row in range(6):
        alone = data.batch(np.array([row]), randoms(6)[row : row + 1])
        torch.testing.assert_close(alone[0][0], together[0][row], rtol=0, atol=0)
        assert torch.equal(alone[1][0], together[1][row])


@pytest.mark.parametrize("axis", ["horizontal", "vertical"])
def test_flip_mirrors_image_and_mask_of_chosen_samples_only(axis):
    images, masks = arrays()
    drawn = np.full((6, 8), 0.9)
    drawn[[1, 4]] = 0.1
    flipped, labels = flip(images.copy(), masks.copy(), drawn, JointAugmentOptions(**{f"{axis}_flip": 0.5}))
    along = 1 if axis == "vertical" else 2
    np.testing.assert_array_equal(flipped[[1, 4]], np.flip(images[[1, 4]], along))
    np.testing.assert_array_equal(labels[[1, 4]], np.flip(masks[[1, 4]], along))
    np.testing.assert_array_equal(flipped[[0, 2, 3, 5]], images[[0, 2, 3, 5]])


def test_flip_probability_is_the_share_of_flipped_samples():
    images, masks = arrays(count=1)
    drawn = randoms(4000)
    flipped, _ = flip(
        np.repeat(images, 4000, 0), np.repeat(masks, 4000, 0), drawn, JointAugmentOptions(horizontal_flip=0.3)
    )
    assert (flipped[:, 0, 0] != images[:, 0, 0]).mean() == pytest.approx(0.3, abs=0.03)


def test_read_only_arrays_are_never_written():
    images, masks = arrays()
    before = images.copy(), masks.copy()
    source(JointAugmentOptions(horizontal_flip=1.0, brightness=0.5)).batch(np.arange(6), randoms(6))
    np.testing.assert_array_equal(images, before[0])
    np.testing.assert_array_equal(masks, before[1])


def test_crop_without_scaling_is_an_exact_window_of_both():
    images, masks = arrays()
    crop = JointAugmentOptions(crop=4)
    for image, mask, row in zip(images, masks, randoms(6), strict=True):
        window, labels = cropped(image, mask, row, crop, FILL)
        np.testing.assert_array_equal(window[..., 0] // 64, labels)
        places = [
            (y, x) for y in range(7) for x in range(9)
            if (image[y : y + 4, x : x + 4] == window).all()
        ]  # fmt: skip
        assert len(places) == 1


def test_crop_reaches_every_position():
    image = np.arange(20, dtype=np.uint8).reshape(4, 5, 1)
    drawn = np.zeros((2000, 8))
    drawn[:, 3:5] = np.random.default_rng(0).random((2000, 2))
    two = JointAugmentOptions(crop=2)
    corners = {int(cropped(image, image[..., 0], row, two, FILL)[1][0, 0]) for row in drawn}
    assert corners == {0, 1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13}


def test_crop_larger_than_the_image_pads_the_mask_with_ignored_and_the_image_with_the_mean():
    images, masks = arrays(count=1, height=3, width=4)
    window, labels = cropped(images[0], masks[0], randoms(1)[0], JointAugmentOptions(crop=6), FILL)
    inside = labels != IGNORE
    assert inside.sum() == 12
    np.testing.assert_array_equal(labels[inside], masks[0].ravel())
    np.testing.assert_array_equal(window[inside], images[0].reshape(12, 1))
    assert (window[~inside] == FILL).all()


def test_scaling_by_two_doubles_every_mask_pixel_and_keeps_a_plain_image_plain():
    mask = np.arange(16, dtype=np.uint8).reshape(4, 4)
    image = np.full((4, 4, 1), 77, np.uint8)
    double = JointAugmentOptions(crop=8, scale_min=2.0, scale_max=2.0)
    resized, labels = cropped(image, mask, randoms(1)[0], double, FILL)
    np.testing.assert_array_equal(labels, mask.repeat(2, 0).repeat(2, 1))
    assert (resized == 77).all()


def test_scaled_image_and_mask_stay_in_step():
    image = np.zeros((40, 40, 1), np.uint8)
    image[10:30, 10:30] = 255
    mask = (image[..., 0] > 0).astype(np.uint8)
    scaled = JointAugmentOptions(crop=40, scale_min=0.5, scale_max=2.0)
    for row in randoms(30):
        window, labels = cropped(image, mask, row, scaled, np.zeros(1, np.uint8))
        valid = labels != IGNORE
        agree = (window[..., 0] > 127) == (labels == 1)
        assert agree[valid].mean() > 0.94


def test_window_partly_outside_is_filled():
    window = window_of(np.arange(6, dtype=np.uint8).reshape(2, 3), -1, 2, 2, 2, 99)
    np.testing.assert_array_equal(window, [[99, 99], [2, 99]])


def test_light_follows_its_formula():
    images, _ = arrays()
    drawn = randoms(6)
    light = JointAugmentOptions(brightness=0.2, contrast=0.4, gamma=0.5)
    signed = 2 * drawn[:, :, None, None, None] - 1
    x = (images / 255.0) ** np.exp(0.5 * signed[:, 7])
    lit = (x - 0.4) * (1 + 0.4 * signed[:, 6]) + 0.4 + 0.2 * signed[:, 5]
    np.testing.assert_allclose(normalize(images, MEAN, STD, drawn, light), (lit - 0.4) / 0.25, atol=2e-6)
    without_gamma = JointAugmentOptions(brightness=0.2, contrast=0.4)
    lit = (images / 255.0 - 0.4) * (1 + 0.4 * signed[:, 6]) + 0.4 + 0.2 * signed[:, 5]
    np.testing.assert_allclose(
        normalize(images, MEAN, STD, drawn, without_gamma), (lit - 0.4) / 0.25, atol=2e-6
    )


def test_zero_strengths_change_nothing_and_need_no_randoms():
    data = source(JointAugmentOptions())
    assert data.num_randoms == 0
    plain, none = data.batch(np.arange(6), np.zeros((6, 0))), data.batch(np.arange(6), None)
    assert torch.equal(plain[0], none[0])
    assert torch.equal(plain[1], none[1])


def flat(sizes):
    shapes = np.array(sizes, np.int64)
    ends = shapes.prod(1).cumsum()
    images, masks = (np.arange(ends[-1]) % 251).astype(np.uint8), np.ones(ends[-1], np.uint8)
    return FlatSamples(images, masks, shapes, ends - shapes.prod(1), channels=1)


def test_validation_of_different_sizes_is_padded_to_the_largest_of_the_batch():
    images, masks = SegmentationSource(flat([(2, 5), (4, 3)]), MEAN, STD).batch(np.array([1, 0]), None)
    assert images.shape == (2, 1, 4, 5)
    np.testing.assert_array_equal((masks == 1).sum((1, 2)), [12, 10])
    assert (masks[masks != 1] == IGNORE).all()
    assert images[0, 0][masks[0] == IGNORE].abs().max() < 1e-5
    np.testing.assert_array_equal(pixels(images)[1, :2, :, 0], np.arange(10).reshape(2, 5))


def test_training_on_different_sizes_without_a_crop_names_the_option():
    with pytest.raises(ValueError, match=r"2 sizes, from 5x2 to 3x4; .* set augment.crop"):
        SegmentationSource(flat([(2, 5), (4, 3)]), MEAN, STD, JointAugmentOptions(horizontal_flip=0.5))
    with_crop = SegmentationSource(flat([(2, 5), (4, 3)]), MEAN, STD, JointAugmentOptions(crop=4))
    assert with_crop.batch(np.array([0, 1]), randoms(2))[0].shape == (2, 1, 4, 4)


@pytest.mark.parametrize("indices", [[1], [1, 1], [0, 1], [1, 2]])
@pytest.mark.parametrize("augmentation", [None, JointAugmentOptions(crop=4, scale_max=2.0, gamma=0.2)])
def test_a_skipped_sample_is_padding_of_which_every_pixel_is_ignored(indices, augmentation):
    data = SegmentationSource(flat([(3, 5), (0, 0), (4, 3)]), MEAN, STD, augmentation)
    drawn = None if augmentation is None else randoms(len(indices))
    images, masks = data.batch(np.array(indices), drawn)
    skipped = torch.tensor(indices) == 1
    assert images.shape[0] == masks.shape[0] == len(indices)
    assert min(masks.shape[1:]) >= 3
    assert (masks[skipped] == IGNORE).all()
    assert (masks[~skipped] == 1).flatten(1).any(1).all()
    # One colour all over: what is left of the mean is its rounding and, augmented, its light.
    assert (images[skipped].flatten(1).std(1) < 1e-5).all()


def test_a_skipped_sample_is_not_another_size():
    data = SegmentationSource(flat([(2, 5), (0, 0)]), MEAN, STD, JointAugmentOptions(horizontal_flip=1.0))
    images, masks = data.batch(np.array([1, 0]), randoms(2))
    assert images.shape == (2, 1, 2, 5)
    assert masks.sum() == 10 * IGNORE + 10


@pytest.mark.filterwarnings("error")
def test_a_whole_image_of_shared_memory_is_scaled_without_a_warning():
    data = source(JointAugmentOptions(crop=4, scale_min=0.4, scale_max=0.4), height=10, width=10)
    assert data.batch(np.array([0]), randoms(1))[0].shape == (1, 1, 4, 4)
