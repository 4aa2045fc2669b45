"""Resource names of Eclipse's objects: how they are made and read, and how patients are hidden in them.

The one idea: a name is made of Eclipse's ids, so it is stable without a list of names. Ids are free text of up to 16
characters and name segments are not, so what is not a letter, a digit or ``_`` is written ``-XX`` (a byte of its
UTF-8); an id whose name would be too long ends in a digest instead. A patient's id may identify a person and stands
as a keyed digest.
"""

from __future__ import annotations

import hashlib
import hmac
import re

from bridge.errors import NotFound

LONGEST_PART = 31
"""Course and plan share a segment of 64."""
LONGEST_SEGMENT = 64
_DIGEST_LENGTH = 16
_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")


def encode(text: str, longest: int = LONGEST_SEGMENT) -> str:
    """Safe characters for any text; different texts never give the same."""
    if not text:
        return "-"
    written = "".join(chr(byte) if byte in _SAFE else f"-{byte:02X}" for byte in text.encode("utf-8", "surrogatepass"))
    if len(written) <= longest:
        return written
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_LENGTH]
    head = re.sub(r"-[0-9A-F]?$", "", written[: longest - _DIGEST_LENGTH - 2])
    return f"{head}--{digest}"


def decode(name: str) -> str:
    """The text behind an encoded one.

    Raises
    ------
    NotFound
        It was not made by `encode`, or stands for a text too long to be kept in it.
    """
    if name == "-":
        return ""
    if re.fullmatch(r"([A-Za-z0-9_]|-[0-9A-F]{2})+", name) is None:
        raise NotFound(f"{name!r} is not a name that this server gave, or stands for an id too long to be read back.")
    raw = re.sub(rb"-([0-9A-F]{2})", lambda match: bytes([int(match[1], 16)]), name.encode())
    try:
        return raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise NotFound(f"{name!r} is not a name that this server gave.") from None


def patient_name(key: bytes, patient_id: str) -> str:
    """The patient behind a keyed digest: stable for who has the key, and no way back without it."""
    digest = hmac.new(key, patient_id.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
    return f"patients/p{digest[:20]}"


def plan_name(patient: str, course_id: str, plan_id: str) -> str:
    return f"{patient}/plans/{encode(course_id, LONGEST_PART)}.{encode(plan_id, LONGEST_PART)}"


def structure_name(patient: str, structure_id: str) -> str:
    return f"{patient}/structures/{encode(structure_id)}"


def beam_name(plan: str, beam_id: str) -> str:
    return f"{plan}/beams/{encode(beam_id)}"


def machine_name(machine_id: str) -> str:
    return f"machines/{encode(machine_id)}"


def patient_of(name: str) -> str:
    """The patient that a plan, a structure or anything below them belongs to."""
    parts = name.split("/")
    if len(parts) < 2 or parts[0] != "patients":
        raise NotFound(f"{name!r} is not a name of a patient or of something of a patient's.")
    return "/".join(parts[:2])


def plan_of(name: str) -> str:
    """The plan that a beam, an objective or a snapshot belongs to, or the plan itself."""
    parts = name.split("/")
    if len(parts) < 4 or parts[0] != "patients" or parts[2] != "plans":
        raise NotFound(f"{name!r} is not a name of a plan or of something in a plan.")
    return "/".join(parts[:4])


def next_id(kind: str, taken: list[str]) -> str:
    """``kind-1``, ``kind-2``, ...: the first number after all that are taken."""
    numbers = [int(match[1]) for match in (re.fullmatch(rf"{re.escape(kind)}-(\d+)", each) for each in taken) if match]
    return f"{kind}-{max(numbers, default=0) + 1}"
