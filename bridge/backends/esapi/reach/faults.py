"""What ESAPI throws, as the contract's errors.

The one idea: ESAPI has no error codes, so a sentence of ours says what was tried, and Eclipse's own text follows,
cleaned and cut. What tells that the patient or Eclipse itself is gone is TPS_UNAVAILABLE; everything else Eclipse
*refused*.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import structlog

from bridge.backends.esapi.reach import access
from bridge.errors import BridgeError, TpsRefused, TpsUnavailable

log = structlog.get_logger(__name__)

LONGEST_TEXT = 300
_GONE = frozenset(
    {
        "ObjectDisposedException",
        "AppDomainUnloadedException",
        "COMException",
        "RemotingException",
        "InvalidComObjectException",
        "TpsNetInitializationException",
    }
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]+")

_BETWEEN = re.compile(r"[\W_]+")
_SHORT = 2
"""Letters of a name that may be a word as well."""

_private: re.Pattern[str] | None = None


def hide(words: Iterable[str]) -> None:
    """From now on leave these words, which tell who the open patient is, and their parts out of what Eclipse says.

    Words of the alphabet end where letters end (an underscore or a digit is no letter); others, as Chinese names, have
    no ends to look for. Two letters, which other words have too, count only as they are written, and not where a
    sentence begins, unless another word of the patient follows.
    """
    global _private
    told = sorted({part for word in words for part in _parts(word)}, key=lambda part: (-len(part), part))
    one = "|".join(_pattern(part) for part in told)
    _private = re.compile(rf"(?:{one})(?:[\s,^_.-]*(?:{one}))*") if told else None


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Raise what .NET throws inside the block as an error of the contract: "Eclipse refused to ``what``: ..."."""
    try:
        yield
    except access.net_errors() as error:
        raise as_bridge_error(what, error) from None


def is_gone(error: BaseException) -> bool:
    """Whether what .NET threw tells that Eclipse, or the patient in it, is gone."""
    return access.kind(error) in _GONE


def as_bridge_error(what: str, error: BaseException) -> BridgeError:
    text = clean(access.message(error)) or "it gave no reason."
    log.info("Eclipse threw", doing=what, net_class=access.kind(error))
    if is_gone(error):
        return TpsUnavailable(f"Eclipse, or the patient in it, is gone: could not {what}: {text}")
    return TpsRefused(f"Eclipse refused to {what}: {text}")


def clean(text: str, longest: int = LONGEST_TEXT) -> str:
    """One line without control characters and without the patient's name, cut to ``longest`` characters."""
    line = " ".join(_CONTROL.sub(" ", text).split())
    line = _private.sub(_hidden, line) if _private is not None else line
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def _parts(word: str) -> Iterator[str]:
    """The word, and what a name is made of, as far as each tells who somebody is."""
    is_name = not any(each.isdigit() for each in word)
    for part in {word.strip(), *(_BETWEEN.split(word) if is_name else ())}:
        is_short_number = part.isdigit() and len(part) < 4  # which would only garble sentences
        if part and not is_short_number and (len(part) > 1 or not part.isascii()):
            yield part


def _pattern(part: str) -> str:
    if not part.isascii():
        return f"(?i:{re.escape(part)})"
    if len(part) == _SHORT and part.isalpha():
        return _whole("|".join(re.escape(each) for each in dict.fromkeys((part, part.upper()))))
    return _whole(f"(?i:{re.escape(part)})", numbers=not part.isalpha())


def _whole(pattern: str, *, numbers: bool = False) -> str:
    """Not inside a longer word, or number."""
    inside = r"[^\W_]" if numbers else r"[^\W\d_]"
    return f"(?<!{inside})(?:{pattern})(?!{inside})"


def _hidden(found: re.Match[str]) -> str:
    before = found.string[: found.start()].rstrip()
    begins = not before or before.endswith((".", "!", "?", ":"))
    is_common = len(found[0]) == _SHORT and found[0].isascii() and found[0].isalpha()
    return found[0] if is_common and begins else "(the patient)"
