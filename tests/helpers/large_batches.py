"""Batches too large for a /dev/shm of 8 MB, read by data-loading workers; a program of its own."""

from __future__ import annotations

import sys

import torch
from torch.utils.data import DataLoader, Dataset

from trainables.data.handover import iterator_of, take_notes
from trainables.data.loader_stream import LoaderStream
from trainables.data.stream import SampleStream


class LargeSource:
    num_randoms = 0

    def __len__(self) -> int:
        return 64

    def batch(self, indices, randoms):
        rows = torch.from_numpy(indices.copy())
        return rows[:, None].float().expand(-1, 500_000).clone(), rows


class LargeDataset(Dataset):
    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int):
        return torch.full((500_000,), float(index)), index


class Unsendable(Dataset):
    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int):
        return lambda: index


def as_list(samples):
    """A batch that is not put into shared memory where it is made."""
    return [values for values, _ in samples]


def main(case: str) -> None:
    if case == "source":
        stream = SampleStream(LargeSource(), batch_size=4, seed=0, num_workers=2)
        plain = SampleStream(LargeSource(), batch_size=4, seed=0)
        same = [
            torch.equal(mine, other)
            for _ in range(8)
            for mine, other in zip(stream.next_step(1)[0], plain.next_step(1)[0], strict=True)
        ]
        stream.close()
        print(all(same), *take_notes())
        return
    collate = as_list if case == "list" else None
    if case == "unsendable":
        loader = LoaderStream(DataLoader(Unsendable(), batch_size=None, num_workers=1))
    else:
        loader = LoaderStream(DataLoader(LargeDataset(), batch_size=4, num_workers=2, collate_fn=collate))
    try:
        batches = [loader.next_step(1)[0] for _ in range(4)]
    except RuntimeError as error:
        print(error)
        return
    rows = [row for batch in batches for row in (batch if case == "list" else batch[0])]
    print([int(row.mean()) for row in rows] == list(range(16)))


if __name__ == "__main__":
    assert iterator_of([1])
    main(sys.argv[1])
