"""Where a computation runs: device, precision, threads, seed, and `torchrun`'s other processes."""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, distributed

from features.device import bf16_units, resolve
from model.settings import Precision


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread for as long as the block, or the function it decorates, runs.

    Sums of two threads end in other digits than those of one, so the number of cores would be
    seen in the weights. And with matrices of a hundred columns threads wait for each other: on 2
    busy cores 10,000 rows took ridge 26 s with one and 40 s with two, modern 67 and 83 s.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(limits=1):
            yield
    finally:
        torch.set_num_threads(before)


CPU = torch.device("cpu")

Item = TypeVar("Item")


@dataclass(frozen=True)
class World:
    """One process of a training. rank 0 writes; alone, there is only it."""

    device: torch.device = CPU
    rank: int = 0
    size: int = 1

    def share(self, batch: Sequence[Item]) -> Sequence[Item]:
        """This process's part of a batch, which may be empty."""
        return batch[self.rank :: self.size]

    def add_up(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its sum over all processes."""
        if self.size == 1:
            return
        together = list(tensors)
        flat = torch.cat([tensor.reshape(-1) for tensor in together])
        distributed.all_reduce(flat)
        sizes = [tensor.numel() for tensor in together]
        for tensor, total in zip(together, torch.split(flat, sizes), strict=True):
            tensor.copy_(total.view_as(tensor))

    def tell(self, document: Any) -> Any:
        """Give every process the first one's document, which must be plain JSON."""
        if self.size == 1:
            return document
        # As JSON: torch's own way to send objects pickles them.
        content = json.dumps(document).encode() if self.rank == 0 else b""
        length = torch.tensor([len(content)], device=self.device)
        distributed.broadcast(length, src=0)
        letters = torch.zeros(int(length), dtype=torch.uint8, device=self.device)
        if self.rank == 0:
            letters.copy_(torch.tensor(list(content), dtype=torch.uint8))
        distributed.broadcast(letters, src=0)
        return json.loads(bytes(letters.cpu().tolist()))

    def wait(self) -> None:
        """Go on when every process has come here."""
        if self.size > 1:
            distributed.barrier()

    def computing(self, precision: Precision) -> torch.autocast | nullcontext[None]:
        """Context in which convolutions have that precision."""
        if precision_on(precision, self.device) == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)


@contextmanager
def seeded(seed: int, device: torch.device = CPU) -> Iterator[None]:
    """Draw from this seed, there too, as long as the block runs; others' numbers stay as they were.

    What is drawn inside is a function of the seed, so a training that goes on draws the same.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


@contextmanager
def join(device: str) -> Iterator[World]:
    """Find the other processes that `torchrun` started, for as long as the block runs.

    device: as the settings say it; each of several processes takes the GPU of its own number.
    Raises DeviceMissing.
    """
    here = torch.device(resolve(device))
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World(here)
        return
    if here.type == "cuda":
        here = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(here)
    distributed.init_process_group("nccl" if here.type == "cuda" else "gloo")
    try:
        yield World(here, distributed.get_rank(), size)
    finally:
        distributed.destroy_process_group()


def precision_on(precision: Precision, device: torch.device) -> Literal["fp32", "bf16"]:
    """What "auto" means: bf16 where the device computes in it and does not only emulate it."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if bf16_units() else "fp32"
