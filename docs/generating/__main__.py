"""Writes what the reference of the protocol has from the code: ``python docs/generating [--check]``.

That is all of ``docs/reference/asyncapi.json``, and of ``docs/reference/protocol.md`` what stands between markers::

    <!-- NAME: generated -->
    …
    <!-- NAME: end -->

With ``--check`` nothing is written, and the exit code is 1 if something is not as it would be written.
"""

import json
import re
import sys
from pathlib import Path

import tables
import vectors
from document import document

REFERENCE = Path(__file__).resolve().parent.parent / "reference"
PAGE = REFERENCE / "protocol.md"
ASYNCAPI = REFERENCE / "asyncapi.json"


def written() -> dict[Path, str]:
    """Return what each file should hold."""
    return {ASYNCAPI: _json(document()), PAGE: _filled(PAGE.read_text("utf-8"))}


def main(arguments: list[str]) -> int:
    """Write, or compare."""
    stale = [path for path, text in written().items() if not path.exists() or path.read_text("utf-8") != text]
    if arguments == ["--check"]:
        for path in stale:
            print(f"{path} is not what the code says: run `make docs`", file=sys.stderr)
        return 1 if stale else 0
    for path, text in written().items():
        path.write_text(text, "utf-8")
    return 0


def _filled(page: str) -> str:
    """Return the page with its generated blocks as they are now."""
    blocks = {
        **tables.blocks(),
        "bundle": f"```json\n{vectors.bundle()}```",
        "vectors": f"```json\n{_json(vectors.vectors())}```",
    }
    marked = re.findall(r"^<!-- ([a-z-]+): generated -->$", page, re.MULTILINE)
    if sorted(marked) != sorted(blocks):
        raise SystemExit(f"{PAGE} has markers for {sorted(marked)}, and the blocks are {sorted(blocks)}")
    for name, text in blocks.items():
        before, _, rest = page.partition(f"<!-- {name}: generated -->\n")
        _, found, after = rest.partition(f"<!-- {name}: end -->\n")
        if not found:
            raise SystemExit(f"{PAGE} needs one line `<!-- {name}: end -->` after the marker of {name}")
        page = f"{before}<!-- {name}: generated -->\n\n{text}\n\n<!-- {name}: end -->\n{after}"
    return page


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
