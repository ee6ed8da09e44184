"""Several processes of one launch, as `accelerate launch` or `torchrun` starts them: who am I, and what is agreed.

They meet over gloo, on GPUs too: what passes between them is plans, no tensors, and a process without a GPU may be one of
them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

Value = TypeVar("Value")
LONGEST_WAIT = timedelta(days=7)  # the others wait while the main process asks a server


@dataclass(frozen=True)
class Processes:
    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def share(self, value: Value) -> Value:
        """The main process's value, for all; what the others give is not looked at."""
        if self.count == 1:
            return value
        import torch.distributed as dist

        holder = [value]
        dist.broadcast_object_list(holder, src=0)
        return holder[0]

    def wait(self) -> None:
        """Until all are here."""
        if self.count > 1:
            import torch.distributed as dist

            dist.barrier()


@contextmanager
def process_group() -> Iterator[Processes]:
    """This process's place in the launch; alone where no launcher has set the variables of one."""
    known = {name: os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR")}
    if not all(known.values()) or known["WORLD_SIZE"] == "1":
        yield Processes()
        return
    import torch.distributed as dist

    dist.init_process_group("gloo", timeout=LONGEST_WAIT)
    # Left alone where a process fails: the launcher ends the others, which would be waited for here.
    yield Processes(dist.get_rank(), dist.get_world_size(), int(known["LOCAL_RANK"]))
    dist.destroy_process_group()
