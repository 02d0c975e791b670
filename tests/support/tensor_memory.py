"""The most bytes that tensors had at once, as torch's own allocator counts them."""

import gc
from collections.abc import Callable

from torch.profiler import ProfilerActivity, profile


def peak_tensor_bytes(work: Callable[[], object]) -> int:
    """Peak of what `work` allocates on the CPU, above what there was before; what it frees of that is not subtracted.

    Each allocation and release is an event with a running total, which goes on from the profile before.
    """
    gc.collect()  # what is left over from before would be freed somewhere in between
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        work()
    assert recorded.profiler is not None and recorded.profiler.kineto_results is not None
    first: tuple[int, int] | None = None  # when, and the total before it
    peak = 0
    waiting = list(recorded.profiler.kineto_results.experimental_event_tree())
    while waiting:
        event = waiting.pop()
        waiting += event.children
        name, fields = event.typed
        if name.name == "Allocation":
            peak = max(peak, fields.total_allocated)
            before = (event.start_time_ns, fields.total_allocated - fields.alloc_size)
            first = before if first is None else min(first, before)
    assert first is not None, "nothing was allocated"
    return peak - first[1]
