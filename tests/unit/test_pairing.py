"""The rule by which images and masks have one name."""

from __future__ import annotations

import pytest

from trainables.pairing import Affixes, find_pairing, tried


@pytest.mark.parametrize(
    ("image", "mask", "rule"),
    [
        ("img_{:03}", "mask_{:03}", {"image_prefix": "img_", "mask_prefix": "mask_"}),
        ("{:03}_image", "{:03}_mask", {"image_suffix": "_image", "mask_suffix": "_mask"}),
        ("ISIC_{}", "ISIC_{}_segmentation", {"mask_suffix": "_segmentation"}),
        ("{}", "{}.jpg", {"mask_suffix": ".jpg"}),
        ("city/{}_left", "city/gt_{}", {"image_suffix": "_left", "mask_prefix": "gt_"}),
        ("pic{}", "lab{}", {"image_prefix": "pic", "mask_prefix": "lab"}),
    ],
)
@pytest.mark.parametrize("count", [2, 12, 130])
def test_the_rule_that_pairs_all_is_found(image, mask, rule, count):
    images, masks = ([name.format(number) for number in range(count)] for name in (image, mask))
    found = find_pairing(images, masks, {})
    assert found is not None
    assert (found.affixes, found.complete) == (Affixes(**rule), True)
    assert found.pairs == dict(zip(images, masks, strict=True))


def test_what_is_given_stays_and_is_completed():
    images, masks = ["1_image", "2_image"], ["1_mask", "2_mask"]
    found = find_pairing(images, masks, {"mask_suffix": "_mask"})
    assert found is not None
    assert str(found.affixes) == 'image_suffix: "_image", mask_suffix: "_mask"'
    assert find_pairing(images, masks, {"mask_suffix": "_label"}) is None


def test_numbers_are_not_cut_and_a_rule_that_lacks_a_name_is_not_complete():
    assert find_pairing(["100", "101"], ["200", "201"], {}) is None
    found = find_pairing(["a1", "a2", "a3"], ["b1", "b3", "b4"], {})
    assert found is not None
    assert (found.complete, found.pairs) == (False, {"a1": "b1", "a3": "b3"})


def test_without_a_rule_names_must_agree():
    assert tried(Affixes(), ["1", "2"], ["1", "2"]).complete
    assert find_pairing(["tree", "house"], ["17", "4"], {}) is None
