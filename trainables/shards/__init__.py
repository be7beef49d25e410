"""Data in tar files: samples of any number, read where they lie, in an order that is a pure function."""

from trainables.shards.index import ShardIndex, index_shards
from trainables.shards.paths import find_parts, find_shards
from trainables.shards.sample import Sample
from trainables.shards.source import ShardReader, ShardSource
from trainables.shards.write import ShardWriter

__all__ = [
    "Sample",
    "ShardIndex",
    "ShardReader",
    "ShardSource",
    "ShardWriter",
    "find_parts",
    "find_shards",
    "index_shards",
]
