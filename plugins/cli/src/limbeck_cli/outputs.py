"""The check that a run may write its outputs, in the command's words, before anything is touched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from limbeck import Sink
from limbeck.errors import ConfigurationError
from limbeck.recipes import sources_of

if TYPE_CHECKING:
    from limbeck import Pipeline

    from .run_folder import CommandFolder


def check_outputs(pipeline: Pipeline, folder: CommandFolder | None, *, overwrite: bool) -> None:
    """Raise unless every sink may write, and nothing is read that is written.

    Args:
        folder: the run directory, if there is one. overwrite: whether existing files may be replaced.

    Raises:
        ConfigurationError: an output exists, is an input, or belongs to the run directory.
    """
    inputs = _inputs(pipeline)
    for path in inputs:
        if folder is not None:
            folder.refuse_own_file(path, "input")
    for sink in pipeline.steps.values():
        if isinstance(sink, Sink):
            for target in sink.targets():
                named = str(getattr(sink, "path", None) or target)
                _check_target(target, named, inputs, folder, overwrite=overwrite or sink.overwrite)
            sink.open(replace=True)


def _check_target(target: str, named: str, inputs: list[str], folder: CommandFolder | None, *, overwrite: bool) -> None:
    """Check one file, which messages call as it was `named`."""
    if folder is not None:
        folder.refuse_own_file(named, "output")
    path = Path(target)
    if not path.is_file():
        return  # a device, an address, or nothing yet: the sink says whether it can be written
    if any(Path(each).exists() and path.samefile(each) for each in inputs):
        raise ConfigurationError(f"The output {named!r} is the input. Write to another file.")
    if overwrite or (folder is not None and folder.made(target)):
        return
    kept = folder is not None and not folder.fresh
    other = f", and is not as the run directory {str(folder.path)!r} made it" if folder is not None and kept else ""
    raise ConfigurationError(
        f"The output {named!r} exists{other}. Give --overwrite to replace it, or write to another file."
    )


def _inputs(pipeline: Pipeline) -> list[str]:
    """The files that are read."""
    paths: list[str] = []
    for source in sources_of(pipeline):
        places = getattr(source, "places", None)
        paths += places() if callable(places) else []
    return paths
