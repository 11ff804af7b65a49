"""Policy packs for benchmarks: what a measured program needs of plugins, installed where only it finds them."""

import os
from pathlib import Path


def installed(folder: Path, name: str, source: str) -> dict[str, str]:
    """Write a pack of one module as pip would install it.

    Parameters
    ----------
    folder
        Where.
    name
        Of the module; its hooks are in it.
    source
        The module.

    Returns
    -------
    dict
        The environment of a process that finds it; and that keeps its byte code, as that of an installed package is
        kept, or each start would compile everything anew.
    """
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (folder / f"{name}.py").write_text(source)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[tierwise]\n{name} = {name}\n")
    path = os.pathsep.join(part for part in (str(folder), os.environ.get("PYTHONPATH", "")) if part)
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": path}
