"""The only door to .NET: everything that pythonnet wants to be known about it is known here.

The one idea: a property of ESAPI may load for seconds, and pythonnet keeps Python's lock while it reads one, but not
while it calls a method. So properties are read and written through their accessor methods (`get`, `put`), and lists are
materialised by .NET (`items`). And ESAPI belongs to one thread: once that thread has said `owned`, every function here
that reaches into an object refuses to do so on any other.

``thing`` and what comes back are .NET objects: `Any`.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from bridge.errors import TpsUnavailable

log = structlog.get_logger(__name__)

API = "VMS.TPS.Common.Model.API"
TYPES = "VMS.TPS.Common.Model.Types"
MONO_PACKAGES = "apt-get install mono-runtime libmono-2.0-1 mono-devel"

_owner: int | None = None


class WrongThread(RuntimeError):
    """A bug: an ESAPI object was about to be touched on a thread that does not own ESAPI."""


class NoSuchMember(AttributeError):
    """This version of ESAPI lacks the member, or it is misspelt."""


# the runtime and the two assemblies ------------------------------------------------------------------------------


def load(dll_folder: Path | None) -> None:
    """Start .NET, unless this process is inside it already, and load ESAPI.

    Parameters
    ----------
    dll_folder : Path or None
        Holds the two assemblies. None: they are loaded already, as in a plug-in.

    Raises
    ------
    TpsUnavailable
        No .NET here, no such folder, or assemblies that cannot be loaded; with the remedy.
    """
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # gRPC's handlers can kill what .NET starts before it begins
    if dll_folder is not None:
        _require_assemblies(dll_folder)
    if "clr" not in sys.modules:
        _start_runtime()
    if dll_folder is not None:
        _make_known(dll_folder)
    import clr

    for assembly in (TYPES, API):
        try:
            clr.AddReference(assembly)
        except Exception as error:
            raise TpsUnavailable(_not_loaded(assembly, dll_folder, error)) from None


def is_loaded() -> bool:
    return "clr" in sys.modules


def api() -> Any:
    """ESAPI's classes."""
    return importlib.import_module(API)


def types() -> Any:
    """ESAPI's value types and enums."""
    return importlib.import_module(TYPES)


def _require_assemblies(folder: Path) -> None:
    missing = [name for name in (TYPES, API) if not (folder / f"{name}.dll").is_file()]
    if missing:
        raise TpsUnavailable(
            f"no {' and no '.join(f'{name}.dll' for name in missing)} in {str(folder)!r}. Set dll_folder in section "
            "[esapi] of the configuration to Eclipse's folder esapi\\API."
        )


def _start_runtime() -> None:
    if ctypes.sizeof(ctypes.c_void_p) != 8:
        raise TpsUnavailable("ESAPI is 64-bit and this Python is 32-bit; install a 64-bit Python.")
    os.environ.setdefault("MONO_THREADS_SUSPEND", "preemptive")  # Mono 6.8 hangs on exceptions without it
    runtime = "netfx" if os.name == "nt" else "mono"
    try:
        import pythonnet

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of old Mono: the variable above is the remedy
            pythonnet.load(runtime)
        import clr  # noqa: F401 - .NET's names can be imported from now on
    except Exception as error:
        remedy = "install .NET Framework 4.6.2 or later" if os.name == "nt" else f"install Mono ({MONO_PACKAGES})"
        raise TpsUnavailable(f"the .NET runtime {runtime!r} did not start ({error}); {remedy}.") from None


def _make_known(folder: Path) -> None:
    """Let .NET find the assemblies, and what they need of Eclipse's own folder beside ``esapi``."""
    external_beam = folder.parent.parent / "ExternalBeam"
    for place in (folder, external_beam):
        if place.is_dir() and str(place) not in sys.path:
            sys.path.append(str(place))
    if external_beam.is_dir():
        os.environ["PATH"] = f"{external_beam}{os.pathsep}{os.environ.get('PATH', '')}"


def _not_loaded(assembly: str, folder: Path | None, error: Exception) -> str:
    kind_of_error, place = type(error).__name__, f"from {str(folder)!r}" if folder else "inside this process"
    if kind_of_error == "BadImageFormatException":
        return f"{assembly}.dll {place} is not for 64-bit .NET; set dll_folder to Eclipse's own folder esapi\\API."
    return (
        f"{assembly}.dll could not be loaded {place} ({kind_of_error}: {message(error)}). Set dll_folder in section "
        "[esapi] to Eclipse's folder esapi\\API, on a machine where Eclipse is installed."
    )


# members of an object --------------------------------------------------------------------------------------------


def owned() -> None:
    """From now on only the calling thread may reach into ESAPI objects."""
    global _owner
    _owner = threading.get_ident()


def disowned() -> None:
    """The owning thread ends."""
    global _owner
    _owner = None


def require_owner() -> None:
    """Refuse on any thread but the one that owns ESAPI."""
    if _owner is not None and threading.get_ident() != _owner:
        raise WrongThread(
            f"thread {threading.current_thread().name!r} is about to touch an ESAPI object, and only the ESAPI thread "
            "may. Hand the function to EsapiThread.call."
        )


def get(thing: Any, name: str) -> Any:
    """A property, read without holding Python's lock."""
    require_owner()
    return _member(thing, f"get_{name}", name)()


def put(thing: Any, name: str, value: Any) -> None:
    """Set a property; one that does not exist is refused, where plain assignment would do nothing and say nothing."""
    require_owner()
    _member(thing, f"set_{name}", name)(value)


def has(thing: Any, name: str) -> bool:
    """Whether this version of ESAPI has the property or method; the property is not read."""
    return hasattr(type(thing), f"get_{name}") or hasattr(type(thing), name)


def settable(thing: Any, name: str) -> bool:
    """Whether this version of ESAPI lets scripts set the property."""
    return hasattr(type(thing), f"set_{name}")


def items(thing: Any, name: str) -> list[Any]:
    """A property that enumerates, as a list."""
    return item_list(get(thing, name))


def item_list(enumerable: Any) -> list[Any]:
    """Whatever enumerates, as a list; an empty one for null."""
    require_owner()
    if enumerable is None:
        return []
    linq = _system("Linq").Enumerable
    return list(linq.ToArray[_system().Object](linq.Cast[_system().Object](enumerable)))


def _member(thing: Any, accessor: str, name: str) -> Any:
    if thing is None:
        raise AttributeError(f"null has no {name!r}: whoever read the object must handle that there is none.")
    if not hasattr(type(thing), accessor):
        raise NoSuchMember(f"{type(thing).__name__} has no {accessor!r} in this version of ESAPI, or it is misspelt.")
    return getattr(thing, accessor)


def is_net(value: object) -> bool:
    """Whether a value is a .NET object, which must not leave the ESAPI thread."""
    return type(type(value)).__module__ == "clr" or type(type(value)).__name__ == "CLRMetatype"


# values ----------------------------------------------------------------------------------------------------------


def enum(name: str, member: str) -> Any:
    """A member of an enum, e.g. ``enum("DoseValue.DoseUnit", "Gy")`` for a nested one."""
    found = types()
    for part in name.split("."):
        found = getattr(found, part)
    return getattr(found, member)


def enum_name(value: Any) -> str:
    return str(value.ToString())


def vector(xyz_mm: Sequence[float]) -> Any:
    return types().VVector(*(float(each) for each in xyz_mm))


def xyz(vvector: Any) -> tuple[float, float, float]:
    return (float(vvector.x), float(vvector.y), float(vvector.z))


def points(vvectors: Any) -> NDArray[np.float64]:
    """The corners of a ``VVector[]``, shape (n, 3); copied at once, since outlines have a thousand of them."""
    count = int(vvectors.Length)
    interop = _system("Runtime.InteropServices")
    if count == 0:
        return np.empty((0, 3))
    if interop.Marshal.SizeOf[types().VVector]() != 3 * 8:
        return np.array([xyz(each) for each in vvectors])
    pinned = interop.GCHandle.Alloc(vvectors, interop.GCHandleType.Pinned)
    try:
        raw = ctypes.string_at(pinned.AddrOfPinnedObject().ToInt64(), count * 3 * 8)
    finally:
        pinned.Free()
    return np.frombuffer(raw).reshape(count, 3).copy()


def rect(x1: float, y1: float, x2: float, y2: float) -> Any:
    return types().VRect[_system().Double](x1, y1, x2, y2)


def dose(amount: float, unit: str) -> Any:
    """A DoseValue; the unit is ``Gy``, ``cGy`` or ``Percent``."""
    return types().DoseValue(float(amount), enum("DoseValue.DoseUnit", unit))


def doubles(values: Sequence[float]) -> Any:
    return _system().Array[_system().Double]([float(each) for each in values])


def vectors(points: Sequence[Sequence[float]]) -> Any:
    """``VVector[]``, as contours are handed over."""
    return _system().Array[types().VVector]([vector(point) for point in points])


def machine_parameters(machine: str, energy: str, dose_rate: int, technique: str, fluence_mode: str = "") -> Any:
    return types().ExternalBeamMachineParameters(machine, energy, dose_rate, technique, fluence_mode)


def plane_buffer(x_size: int, y_size: int) -> Any:
    """``int[x, y]``, as GetVoxels fills it."""
    return _system().Array.CreateInstance(_system().Int32, x_size, y_size)


def copied(buffer: Any) -> NDArray[np.int32]:
    """The numbers of a plane buffer, indexed [x, y]; a copy, since a live view crashes Python when it exits."""
    return np.array(buffer, dtype=np.int32)


def string_builder() -> Any:
    return _system("Text").StringBuilder()


# what .NET says --------------------------------------------------------------------------------------------------


def net_errors() -> tuple[type[BaseException], ...]:
    """What to catch for "anything that .NET throws"; nothing while .NET is not loaded."""
    return (_system().Exception,) if is_loaded() else ()


def kind(error: BaseException) -> str:
    """The .NET class name of an exception."""
    return type(error).__name__


def message(error: BaseException) -> str:
    """The text of an exception, without its stack."""
    text = getattr(error, "Message", None)
    return str(error) if text is None else str(text)


@contextmanager
def trace_lines(heard: Callable[[str], None]) -> Iterator[None]:
    """Hand every line that .NET code writes to its trace inside the block to ``heard``, while it is written."""
    listeners = _system("Diagnostics").Trace.Listeners
    listener = _listener_class()()
    listener.heard = heard
    listeners.Add(listener)
    try:
        yield
    finally:
        listeners.Remove(listener)


def sta_thread(run: Callable[[], None]) -> Any:
    """A started background thread of .NET, single-threaded apartment; ``Join()`` it before Python exits."""
    threads = _system("Threading")
    thread = threads.Thread(threads.ThreadStart(run))
    thread.SetApartmentState(threads.ApartmentState.STA)
    thread.IsBackground = True
    thread.Name = "esapi"
    thread.Start()
    return thread


@functools.cache
def _listener_class() -> Any:
    class Listener(_system("Diagnostics").TraceListener):  # type: ignore[misc]
        __namespace__ = "Beamwright.Access"

        def Write(self, text: str) -> None:  # noqa: N802 - .NET's name
            self._tell(text)

        def WriteLine(self, text: str) -> None:  # noqa: N802
            self._tell(text)

        def _tell(self, text: str) -> None:
            try:
                self.heard(str(text or ""))
            except Exception:
                log.warning("a line of the TPS's trace could not be taken")

    return Listener


def _system(name: str = "") -> Any:
    return importlib.import_module(f"System.{name}" if name else "System")
