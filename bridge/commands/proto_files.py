"""The contract's own text: the .proto files and their specification, wherever this package is installed.

They lie in ``proto/`` of a checkout; an installation keeps them as data files beside the package's metadata.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from bridge.commands import CommandRefused

SPECIFICATION = "README.md"
INSTALLED = f"share/beamwright/proto/{SPECIFICATION}"


class ContractMissing(CommandRefused):
    """This installation lacks the contract's text."""


def contract_folder() -> Path:
    """The folder that holds ``README.md`` and ``bridge/tps/v1/*.proto``."""
    checkout = Path(__file__).resolve().parents[2] / "proto"
    if (checkout / SPECIFICATION).is_file():
        return checkout
    for file in metadata.files("beamwright") or ():
        if file.as_posix().endswith(INSTALLED):
            return Path(str(file.locate())).resolve().parent
    raise ContractMissing("this installation of beamwright lacks the contract's files; install it again.")


def write_contract(folder: Path, *, force: bool = False) -> list[Path]:
    """Copy the contract into ``folder``; returns what was written, relative to it.

    Raises
    ------
    FileExistsError
        A file is there already and ``force`` is not set; nothing is written then.
    """
    source = contract_folder()
    files = sorted(file.relative_to(source) for file in (*source.rglob("*.proto"), source / SPECIFICATION))
    there = [file for file in files if (folder / file).exists()]
    if there and not force:
        raise FileExistsError(
            f"{len(there)} of {len(files)} files are in {str(folder)!r} already, {str(there[0])!r} among them; "
            "use --force to overwrite them."
        )
    for file in files:
        target = folder / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((source / file).read_bytes())
    return files
