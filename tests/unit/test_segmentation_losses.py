import numpy as np
import pytest
import torch
import torch.nn.functional as F

from trainables.segmentation.losses import MixedLoss, median_frequency_weights

CLASS_WEIGHTS = np.array([0.2, 1.0, 3.0, 0.7])


def sample(seed=0, count=6, ignored=0.3):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, 4, 5, 7, generator=generator, dtype=torch.float64).float()
    masks = torch.randint(0, 4, (count, 5, 7), generator=generator)
    masks[torch.rand(masks.shape, generator=generator) < ignored] = 255
    return logits, masks


def test_cross_entropy_is_that_of_torch():
    logits, masks = sample()
    loss = MixedLoss({"cross_entropy": 2.0}, class_weights=CLASS_WEIGHTS, label_smoothing=0.1)
    expected = F.cross_entropy(
        logits, masks, torch.tensor(CLASS_WEIGHTS).float(), ignore_index=255, label_smoothing=0.1
    )
    torch.testing.assert_close(loss.means(logits, masks), 2.0 * expected[None])


def test_focal_with_gamma_0_is_cross_entropy():
    logits, masks = sample()
    focal = MixedLoss({"focal": 1.0}, class_weights=CLASS_WEIGHTS, focal_gamma=0.0)
    plain = MixedLoss({"cross_entropy": 1.0}, class_weights=CLASS_WEIGHTS)
    torch.testing.assert_close(focal.means(logits, masks), plain.means(logits, masks))


def test_focal_by_its_definition():
    logits, masks = sample(ignored=0.0)
    p = logits.softmax(1).gather(1, masks[:, None])
    expected = (-((1 - p) ** 1.5) * p.log()).mean()
    torch.testing.assert_close(MixedLoss({"focal": 1.0}, focal_gamma=1.5).means(logits, masks)[0], expected)


def test_dice_by_its_definition_without_ignored_pixels():
    logits, masks = sample()
    ratios = []
    for logit, mask in zip(logits, masks, strict=True):
        valid = mask != 255
        for label in range(4):
            p, t = logit.softmax(0)[label][valid], (mask[valid] == label).float()
            ratios.append((2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1))
    expected = 1 - torch.stack(ratios).mean()
    torch.testing.assert_close(MixedLoss({"dice": 1.0}).means(logits, masks)[0], expected)


def test_dice_of_a_certain_right_prediction_is_0():
    _, masks = sample(ignored=0.0)
    logits = 100.0 * F.one_hot(masks, 4).permute(0, 3, 1, 2).float()
    assert MixedLoss({"dice": 1.0}).means(logits, masks).item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    "coefficients",
    [
        {"cross_entropy": 1.0},
        {"dice": 1.0},
        {"focal": 1.0},
        {"cross_entropy": 1.0, "dice": 0.5},
        {"cross_entropy": 0.7, "dice": 0.5, "focal": 2.0},
    ],
    ids=lambda coefficients: "+".join(coefficients),
)
@pytest.mark.parametrize("class_weights", [None, CLASS_WEIGHTS], ids=["plain", "weighted"])
def test_weighted_micro_batches_have_the_loss_and_gradient_of_the_large_batch(coefficients, class_weights):
    logits, masks = sample()
    masks[1] = 255
    loss = MixedLoss(coefficients, class_weights=class_weights, label_smoothing=0.1)
    whole = logits.clone().requires_grad_()
    loss.means(whole, masks).sum().backward()
    parts = logits.clone().requires_grad_()
    total = loss.weights(masks)
    accumulated = torch.zeros(len(coefficients))
    for rows in (slice(0, 1), slice(1, 2), slice(2, 6)):
        means = loss.means(parts[rows], masks[rows]) * loss.weights(masks[rows]) / total
        means.sum().backward()
        accumulated += means.detach()
    torch.testing.assert_close(accumulated, loss.means(logits, masks))
    torch.testing.assert_close(parts.grad, whole.grad)


def test_all_ignored_gives_0_with_weight_0_and_a_gradient_of_0():
    logits, masks = sample()
    masks[:] = 255
    logits.requires_grad_()
    loss = MixedLoss({"cross_entropy": 1.0, "dice": 1.0, "focal": 1.0}, class_weights=CLASS_WEIGHTS)
    means = loss.means(logits, masks)
    means.sum().backward()
    assert means.tolist() == [0.0, 0.0, 0.0]
    assert loss.weights(masks).tolist() == [0.0, 0.0, 0.0]
    assert not logits.grad.any()


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_gradient_is_finite_where_the_prediction_is_certain(gamma):
    logits = torch.tensor([[[[200.0]], [[-200.0]]], [[[-200.0]], [[200.0]]]], requires_grad=True)
    loss = MixedLoss({"cross_entropy": 1.0, "dice": 1.0, "focal": 1.0}, focal_gamma=gamma)
    loss.means(logits, torch.zeros(2, 1, 1, dtype=torch.int64)).sum().backward()
    assert logits.grad.isfinite().all()


def test_half_precision_logits_are_summed_in_single_precision():
    logits, masks = sample(count=2)
    loss = MixedLoss({"cross_entropy": 1.0, "dice": 1.0})
    means = loss.means(logits.bfloat16(), masks)
    assert means.dtype == torch.float32
    torch.testing.assert_close(means, loss.means(logits.bfloat16().float(), masks))


def test_median_frequency_weights_leave_the_median_class_at_1():
    np.testing.assert_allclose(median_frequency_weights(np.array([100, 10, 0, 50])), [0.5, 5.0, 1.0, 1.0])
