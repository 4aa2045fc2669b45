"""The contract's own text: the .proto files and their specification, wherever this package is installed.

They lie in ``proto/`` of a checkout, and under ``share/beamwright/proto`` of the environment when installed.
"""

from __future__ import annotations

import sysconfig
from pathlib import Path

INSTALLED = Path("share") / "beamwright" / "proto"


class ProtoFilesMissing(Exception):
    """This installation lacks the contract's text."""


def contract_folder() -> Path:
    """The folder that holds ``README.md`` and ``bridge/tps/v1/*.proto``."""
    candidates = [Path(__file__).resolve().parent.parent / "proto", Path(sysconfig.get_path("data")) / INSTALLED]
    for folder in candidates:
        if (folder / "README.md").is_file():
            return folder
    raise ProtoFilesMissing(
        f"the contract's files are in none of {[str(c) for c in candidates]}; install beamwright again."
    )


def write_contract(folder: Path, *, force: bool = False) -> list[Path]:
    """Copy the contract into ``folder``; returns what was written, relative to it.

    Raises
    ------
    FileExistsError
        A file is there already and ``force`` is not set; nothing is written then.
    """
    source = contract_folder()
    files = sorted(f.relative_to(source) for f in (*source.rglob("*.proto"), source / "README.md"))
    there = [str(f) for f in files if (folder / f).exists()]
    if there and not force:
        raise FileExistsError(f"{str(folder)!r} already holds {', '.join(there)}; use --force to overwrite.")
    for file in files:
        target = folder / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((source / file).read_bytes())
    return files
