"""The simulator's refusals as the contract's errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bridge import errors
from sim_tps import errors as tps_errors


@contextmanager
def translated() -> Iterator[None]:
    """Raise what the simulator refuses inside the block as the contract's error for it."""
    try:
        yield
    except tps_errors.NotFound as error:
        raise errors.NotFound(str(error)) from error
    except tps_errors.BadInput as error:
        raise errors.InvalidField(str(error)) from error
    except tps_errors.Unsupported as error:
        raise errors.CapabilityMissing(str(error)) from error
    except tps_errors.DamagedData as error:
        raise errors.DataDamaged(str(error)) from error
    except tps_errors.Cancelled as error:
        raise errors.OperationCancelled(str(error)) from error
    except tps_errors.Refused as error:
        raise errors.TpsRefused(str(error)) from error
