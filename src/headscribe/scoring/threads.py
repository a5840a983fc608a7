"""The same work on every processor core that torch uses."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache

import torch


def share(number: int, work: Callable[[Iterator[int]], None]) -> None:
    """Call `work(items)` on every core with one iterator over `range(number)`, and wait for all.

    Each takes the next item when it is done with one: a core that is slow, as torch's own threads
    wait busily for a while, takes fewer. `work` must release the interpreter's lock to gain
    anything. What it raises is raised here.
    """
    workers = max(1, min(torch.get_num_threads(), number))
    items = iter(range(number))  # taking the next one is a single step of the interpreter
    waiting = [_pool(workers - 1).submit(work, items) for _ in range(workers - 1)]
    try:
        work(items)
    finally:
        wait(waiting)
    for future in waiting:
        future.result()


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="headscribe-scoring")
