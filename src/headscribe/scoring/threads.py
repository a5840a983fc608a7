"""The same work on every processor core that torch uses."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from itertools import pairwise

import torch


def share(number: int, work: Callable[[int, int], None]) -> None:
    """Call `work(start, stop)` for parts of `range(number)`, one a core, and wait for all of them.

    `work` must release the interpreter's lock to gain anything. What it raises is raised here.
    """
    parts = max(1, min(torch.get_num_threads(), number))
    edges = [number * part // parts for part in range(parts + 1)]
    waiting = [_pool(parts - 1).submit(work, start, stop) for start, stop in pairwise(edges[1:])]
    try:
        work(edges[0], edges[1])
    finally:
        wait(waiting)
    for future in waiting:
        future.result()


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="headscribe-scoring")
