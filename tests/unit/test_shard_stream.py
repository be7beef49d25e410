"""Training from shards: the stream is one whatever reads it, and a task of shards is a task like another."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from properties import for_all
from shard_data import index_of, numbered_shards, numbers_of, png, source_of, squares
from small_trials import run, segmentation_plan

from trainables.build import load_arrays
from trainables.data.stream import SampleStream
from trainables.segmentation import SegmentationOptions, SegmentationTask
from trainables.session import TrialSession
from trainables.shards import ShardSource, ShardWriter
from trainables.shards.order import BlockOrder

COUNTS = st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(any)


def drawn(stream, num_batches):
    """Samples and random numbers of the next batches."""
    return [[part.tolist() for part in stream.next_step(1)[0]] for _ in range(num_batches)]


@for_all(examples=60, many=2000, counts=COUNTS, shuffle=st.integers(0, 60), seed=st.integers(0, 5))
def test_the_order_has_every_sample_once_in_an_epoch_and_is_the_same_in_any_pieces(counts, shuffle, seed):
    firsts = np.concatenate([[0], np.cumsum(counts)])
    length = int(firsts[-1])
    for number in range(3):
        whole = BlockOrder(firsts, shuffle).indices(seed, number, 0, length)
        assert sorted(whole) == list(range(length))
        order = BlockOrder(firsts, shuffle)
        pieces = [order.indices(seed, number, at, min(length, at + 3)) for at in range(0, length, 3)]
        assert np.array_equal(np.concatenate(pieces), whole)
        alone = [BlockOrder(firsts, shuffle).indices(seed, number, at, at + 1)[0] for at in range(length)]
        assert np.array_equal(alone, whole)


def test_the_order_is_the_one_that_recorded_searches_were_made_with():
    order = BlockOrder(np.array([0, 4, 5, 9, 12]), 5)
    assert order.indices(3, 2, 0, 12).tolist() == [5, 4, 7, 9, 6, 8, 10, 3, 0, 11, 2, 1]


def test_the_order_reads_forward_in_shards_and_mixes_no_further_than_a_block():
    order = BlockOrder(np.arange(0, 1001, 100), 1)
    whole = order.indices(0, 0, 0, 1000)
    shards = whole.reshape(10, 100)
    assert (np.diff(shards, axis=1) == 1).all()
    assert sorted(shards[:, 0]) == list(range(0, 1000, 100))
    mixed = BlockOrder(np.arange(0, 1001, 100), 50).indices(0, 0, 0, 1000)
    places = np.argsort(whole)[mixed]
    distances = np.abs(places - np.arange(1000))
    assert 0 < distances.max() < 50
    assert distances.mean() > 10
    others = [BlockOrder(np.arange(0, 1001, 100), 50).indices(0, number, 0, 1000) for number in (1, 2)]
    assert not np.array_equal(*others)


def test_blocks_are_not_of_the_same_samples_in_each_epoch():
    """Also where shards and blocks have one size."""
    firsts = np.arange(0, 1001, 100)
    starts = [
        {
            frozenset((BlockOrder(firsts, 100).indices(0, number, at, at + 100) // 100).tolist())
            for at in range(0, 1000, 100)
        }
        for number in range(3)
    ]
    assert all(any(len(shards) > 1 for shards in of_epoch) for of_epoch in starts)


@for_all(
    examples=15,
    many=200,
    counts=COUNTS,
    batch_size=st.integers(1, 8),
    shuffle=st.integers(0, 30),
    whole_epochs=st.booleans(),
    before=st.integers(0, 10),
    after=st.integers(1, 6),
)
def test_resuming_is_exact_at_any_place_whatever_the_sizes(
    counts, batch_size, shuffle, whole_epochs, before, after
):
    batch_size = min(batch_size, sum(counts))
    with tempfile.TemporaryDirectory() as folder:
        numbered_shards(Path(folder), [count for count in counts if count])
        options = {"batch_size": batch_size, "seed": 3, "whole_epochs": whole_epochs}
        whole = SampleStream(source_of(Path(folder), shuffle), **options)
        begun = drawn(whole, before)
        resumed = SampleStream(source_of(Path(folder), shuffle), **options)
        resumed.load_state_dict(whole.state_dict())
        rest = drawn(whole, after)
        assert drawn(resumed, after) == rest
        numbers = [number for batch in begun + rest for number in batch[0]]
        for start in range(0, len(numbers) - sum(counts) + 1, sum(counts)):
            assert sorted(numbers[start : start + sum(counts)]) == list(range(sum(counts)))


def test_threads_read_the_same(tmp_path):
    numbered_shards(tmp_path, [9, 9])
    many = ShardSource(index_of(tmp_path), numbers_of, shuffle=10, num_randoms=2, num_threads=4)
    options = {"batch_size": 6, "seed": 0}
    expected = drawn(SampleStream(source_of(tmp_path), **options), 6)
    assert drawn(SampleStream(many, **options), 6) == expected


def shard_trial(root, **data):
    return {
        "data": {"source": "shards", "root": str(root), "num_classes": 2, "shuffle": 10, **SPLIT, **data},
        "model": {"name": "unet", "width": 4, "depth": 1},
        "augment": {"horizontal_flip": 0.5},
        "batch_size": 4,
    }


SPLIT = {"train": "train-*.tar", "valid": "valid-{000000..000001}.tar"}


def shard_plan(folder, root, **data):
    """Three virtual epochs of one epoch of 24 samples."""
    return segmentation_plan(
        folder, options=shard_trial(root, **data), unit="epochs", count=1, num_virtual_epochs=3
    )


def task_of(root, **data):
    options = SegmentationOptions.model_validate(shard_trial(root, **data))
    return SegmentationTask(options, load_arrays(SegmentationTask, options))


def test_shards_give_the_same_pixels_as_the_files_in_them_and_validate_in_order(tmp_path):
    masks = [np.full((4, 4), number % 2, np.uint8) for number in range(6)]
    images = [np.full((4, 4, 3), 40 * number, np.uint8) for number in range(6)]
    for part in ("train", "valid"):
        with ShardWriter(tmp_path, part, per_shard=3) as writer:
            for number, (image, mask) in enumerate(zip(images, masks, strict=True)):
                writer.write(f"{number}", {"png": png(image), "mask.png": png(mask)})
    source = task_of(tmp_path).valid_data()
    batch = source.batch(np.arange(6), None)
    assert batch[0].shape == (6, 3, 4, 4)
    assert batch[1][:, 0, 0].tolist() == [0, 1, 0, 1, 0, 1]
    assert torch.equal(batch[0][:, 0, 0, 0].argsort(), torch.arange(6))
    assert len(task_of(tmp_path).all_data()) == 12


def test_images_of_several_sizes_are_cropped_or_padded(tmp_path):
    for part in ("train", "valid"):
        with ShardWriter(tmp_path, part) as writer:
            for number, side in enumerate((4, 6)):
                pixels = np.ones((side, side), np.uint8)
                writer.write(f"{number}", {"png": png(np.stack([pixels] * 3, -1)), "mask.png": png(pixels)})
    images, masks = task_of(tmp_path, valid="valid-000000.tar").train_data().batch(np.arange(2), None)
    assert images.shape == (2, 3, 6, 6)
    assert (masks[0] == 255).sum() == 36 - 16


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"num_classes": None}, "shards are not scanned for classes"),
        ({"image": "pth"}, r"\.pth is a pickle"),
        ({"train": []}, "train"),
        ({"valid": SPLIT["train"]}, r"train-000000\.tar: is a shard of data\.train and of data\.valid"),
        ({"mask": "seg.png"}, r"sample train\d+ has jpg, mask\.png and lacks seg\.png"),
        ({"image": "webp"}, "lacks webp"),
        ({"train": "none-*.tar"}, "no such file"),
    ],
)
def test_options_that_do_not_fit_the_shards_are_told(tmp_path, data, message):
    root = squares(tmp_path)
    with pytest.raises(ValueError, match=message):
        task_of(root, **data)


def spoil(root):
    """A truncated shard, and a sample whose mask is none."""
    file = root / "train-000001.tar"
    file.write_bytes(file.read_bytes()[:6000])
    (root / "train-000001.tar.idx").unlink()
    with ShardWriter(root, "train-more") as writer:
        writer.write("wrong", {"jpg": b"no picture", "mask.png": png(np.zeros((16, 16), np.uint8))})


def test_broken_samples_and_shards_are_errors_or_skipped_and_counted(tmp_path):
    root = squares(tmp_path / "data")
    spoil(root)
    with pytest.raises(
        ValueError, match=r"train-000001\.tar: ends .*last whole sample is train0\d+, number \d"
    ):
        task_of(root)
    with pytest.raises(ValueError, match=r"wrong\.jpg: is none of PNG, JPEG, TIFF, WebP and .npy"):
        task_of(root, train=["train-000000.tar", "train-more-000000.tar"])
    session = run(shard_plan(tmp_path / "trial", root, bad_samples="skip"))
    skipped = session.trainer.task.skipped_samples
    assert sorted(Path(name.split(": ")[0]).name for name in skipped) == [
        "train-000001.tar",
        "train-more-000000.tar",
    ]
    assert np.isfinite(session.history[-1]["train_loss"])


def test_a_sample_that_is_not_looked_at_before_is_found_in_training(tmp_path):
    root = squares(tmp_path / "data")
    with ShardWriter(root, "train-more") as writer:
        writer.write("wrong", {"jpg": b"no picture", "mask.png": png(np.zeros((16, 16), np.uint8))})
    looked = task_of(root, sample_size=3)  # of 25: not the last one
    assert looked.skipped_samples == {}
    session = TrialSession(shard_plan(tmp_path / "trial", root, sample_size=3), None)
    with pytest.raises(
        ValueError, match=r"train-more-000000\.tar: wrong\.jpg: is none of PNG, JPEG, TIFF, WebP and .npy"
    ):
        session.next_report()
    session = run(shard_plan(tmp_path / "skipping", root, sample_size=3, bad_samples="skip"))
    assert len(session.trainer.task.skipped_samples) == 1
