"""The ranks of a trial find each other: a store at rank 0, and torch's process groups over it."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from datetime import timedelta

import torch
from torch import distributed as dist
from torch.distributed import TCPStore as TCPStore  # type: ignore[attr-defined]

from trainables.ranks.group import Ranks

JOIN_SECONDS = 120.0
_LONGEST = timedelta(minutes=30)
"""Of a single exchange: ranks that are gone, or that say nothing, are noticed otherwise."""
_SIOCGIFADDR = 0x8915


def open_store(address: str, size: int) -> TCPStore:
    """On rank 0: where the others come to, at a port that the system chooses.

    Args:
        address: of this host, as the others reach it.
        size: ranks that will come.
    """
    return TCPStore(
        address, 0, size, is_master=True, timeout=timedelta(seconds=JOIN_SECONDS), wait_for_workers=False
    )


def find_store(address: str, port: int, size: int) -> TCPStore:
    """On another rank: the store of rank 0."""
    return TCPStore(address, port, size, is_master=False, timeout=timedelta(seconds=JOIN_SECONDS))


def join(store: TCPStore, own_address: str, *, rank: int, size: int) -> Ranks:
    """Meet the other ranks, once in the life of a process; all call this at the same time.

    Args:
        store: of rank 0.
        own_address: of this host, whose interface the exchange takes.
    """
    for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
        if name not in os.environ and (interface := interface_of(own_address)):
            os.environ[name] = interface  # by itself gloo takes that of the host's name
    on_gpus = torch.cuda.is_available() and dist.is_nccl_available()
    backend = "cpu:gloo,cuda:nccl" if on_gpus else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=_LONGEST)
    return Ranks(rank=rank, size=size, gradients=dist.new_group(timeout=_LONGEST))


def leave() -> None:
    """Close this process's connections, so that no rank waits for it."""
    if dist.is_initialized():
        dist.destroy_process_group()


def interface_of(address: str) -> str:
    """The network interface that has the address; empty if none has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[:15])
            try:
                answer = fcntl.ioctl(asked.fileno(), _SIOCGIFADDR, request)
            except OSError:  # it has no address
                continue
            if socket.inet_ntoa(answer[20:24]) == address:
                return name
    return ""
