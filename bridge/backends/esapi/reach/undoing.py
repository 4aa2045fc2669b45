"""Taking back what was half done, since ESAPI has no undo.

The one idea: whoever makes something in Eclipse says at once how it is taken away again. Where that fails too, the
error says both, so that nothing half done stays unseen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bridge import errors
from bridge.backends.esapi.reach import access
from bridge.backends.esapi.reach.faults import as_bridge_error


@contextmanager
def undone_on_failure(what: str, undo: Callable[[], None]) -> Iterator[None]:
    """Call ``undo`` if the block fails; ``what`` names what a person has to look after if that fails as well."""
    try:
        yield
    except BaseException as error:
        try:
            undo()
        except access.net_errors() as left:
            raise _both(what, error, left) from error
        raise


def _both(what: str, error: BaseException, left: BaseException) -> errors.BridgeError:
    refusal = as_bridge_error(f"take back {what}", left)
    if isinstance(refusal, errors.TpsUnavailable):
        return refusal  # the patient is gone, and what was not saved with it
    first = error if isinstance(error, errors.BridgeError) else as_bridge_error("go on", error)
    return errors.TpsRefused(
        f"{first.message} Nor could {what} be taken back ({refusal.message}). Look at it in Eclipse."
    )
