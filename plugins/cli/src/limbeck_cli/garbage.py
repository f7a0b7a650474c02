"""The garbage collection of the command's process: seldom, and not among what it was started with.

The thousand modules of an SDK stay until the end, and a row that goes well leaves nothing in cycles.
"""

from __future__ import annotations

import gc

# Containers made and not freed between two looks, by default 700. A request that fails leaves about a hundred in
# cycles (its error and the frames that it went through), so garbage comes to some 10 MB before it is found.
_BETWEEN_LOOKS = 50_000


def look_seldom() -> None:
    """Set the pace. It is the process's, so only its main program may: the console script."""
    gc.set_threshold(_BETWEEN_LOOKS)


def spare_what_is_there() -> None:
    """Leave what there is now out of every later look, where the pace was set.

    It still goes with its last reference, so a file that a step never closes is written out at exit as ever.
    """
    if gc.get_threshold()[0] == _BETWEEN_LOOKS:
        gc.freeze()
