import numpy as np
import pytest
from sklearn.datasets import load_digits

from trainables.segmentation.digits import CLASS_NAMES, load_digits_arrays
from trainables.segmentation.options import DigitsOptions

SMALL = {"size": 40, "enlarge": 1, "num_train": 24, "num_valid": 8, "noise": 0.0, "empty": 0.1, "seed": 0}


def load(**options):
    return load_digits_arrays(DigitsOptions(source="digits", **options))


def test_shapes_types_and_class_names():
    arrays = load(**SMALL)
    assert arrays["train_inputs"].shape == (24, 40, 40, 1)
    assert arrays["valid_targets"].shape == (8, 40, 40)
    assert arrays["train_inputs"].dtype == arrays["train_targets"].dtype == np.uint8
    assert tuple(arrays["class_names"]) == CLASS_NAMES
    assert set(np.unique(arrays["train_targets"])) == set(range(11))


def test_same_seed_gives_the_same_arrays_and_another_seed_others():
    first, again = load(**SMALL), load(**SMALL)
    other = load(**{**SMALL, "seed": 1})
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
    assert (first["train_inputs"] != other["train_inputs"]).any()


def test_every_shown_digit_is_real_and_no_digit_is_in_both_parts():
    options = {**SMALL, "size": 8, "num_train": 400, "num_valid": 400, "empty": 0.0}
    arrays = load(**options)
    originals = {
        (image * 255 / 16).round().astype(np.uint8).tobytes(): number
        for number, image in enumerate(load_digits().images)
    }
    train = {originals[image.tobytes()] for image in arrays["train_inputs"]}
    valid = {originals[image.tobytes()] for image in arrays["valid_inputs"]}
    assert not train & valid


def test_mask_marks_the_ink_with_the_digit_of_its_label():
    arrays = load(**{**SMALL, "size": 8, "empty": 0.0})
    labels = {image.tobytes(): label for image, label in zip(*load_digits(return_X_y=True), strict=True)}
    for image, mask in zip(arrays["train_inputs"][..., 0], arrays["train_targets"], strict=True):
        grey = (image / 255 * 16).round().reshape(64)
        np.testing.assert_array_equal(mask.ravel() > 0, grey >= 5)
        assert set(mask[mask > 0]) == {labels[grey.astype(np.float64).tobytes()] + 1}


def test_enlarged_digits_are_blocks():
    mask = load(**{**SMALL, "size": 16, "enlarge": 2, "empty": 0.0})["train_targets"]
    np.testing.assert_array_equal(mask, mask[:, ::2, ::2].repeat(2, axis=1).repeat(2, axis=2))


def test_statistics_are_those_of_the_training_images():
    arrays = load(**{**SMALL, "noise": 0.2})
    pixels = arrays["train_inputs"] / 255.0
    assert arrays["mean"] == pytest.approx(pixels.mean(), rel=1e-6)
    assert arrays["std"] == pytest.approx(pixels.std(), rel=1e-6)
    assert arrays["class_counts"].sum() == arrays["train_targets"].size


def test_canvas_smaller_than_a_digit_is_an_error_with_both_sizes():
    with pytest.raises(ValueError, match=r"data.size is 15; .* takes 16 pixels"):
        load(**{**SMALL, "size": 15, "enlarge": 2})
