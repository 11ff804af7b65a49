"""Writes what the reference has from the code: ``python docs/generating [--check]``.

That is all of ``docs/reference/asyncapi.json``, and of the pages beside it what stands between markers::

    <!-- NAME: generated -->
    …
    <!-- NAME: end -->

The rest of a page is written by hand, and stays. With ``--check`` nothing is written, and the exit code is 1 if
something is not as it would be written.
"""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import commands
import configuration
import plugin_kinds
import protocol
import result
import vectors
from document import document

REFERENCE = Path(__file__).resolve().parent.parent / "reference"


def written() -> dict[Path, str]:
    """Return what each file should hold."""
    blocks = {
        "plugins.md": plugin_kinds.blocks(),
        "configuration.md": configuration.blocks(),
        "command-line.md": commands.blocks(),
        "result.md": result.blocks(),
        "protocol.md": {
            **protocol.blocks(),
            "bundle": f"```json\n{vectors.bundle()}```",
            "vectors": f"```json\n{_json(vectors.vectors())}```",
        },
    }
    pages = {REFERENCE / name: _filled(REFERENCE / name, of_page) for name, of_page in blocks.items()}
    return {REFERENCE / "asyncapi.json": _json(document()), **pages}


def main(arguments: list[str]) -> int:
    """Write, or compare."""
    files = written()
    stale = [path for path, text in files.items() if not path.exists() or path.read_text("utf-8") != text]
    if arguments == ["--check"]:
        for path in stale:
            print(f"{path} is not what the code says: run `make docs`", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.write_text(files[path], "utf-8")
    return 0


def _filled(path: Path, blocks: Mapping[str, str]) -> str:
    """Return a page with its generated blocks as they are now."""
    page = path.read_text("utf-8")
    marked = re.findall(r"^<!-- ([a-z-]+): generated -->$", page, re.MULTILINE)
    if sorted(marked) != sorted(blocks):
        raise SystemExit(f"{path} has markers for {sorted(marked)}, and the blocks are {sorted(blocks)}")
    for name, text in blocks.items():
        before, _, rest = page.partition(f"<!-- {name}: generated -->\n")
        _, found, after = rest.partition(f"<!-- {name}: end -->\n")
        if not found:
            raise SystemExit(f"{path} needs one line `<!-- {name}: end -->` after the marker of {name}")
        page = f"{before}<!-- {name}: generated -->\n\n{text}\n\n<!-- {name}: end -->\n{after}"
    return page


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
