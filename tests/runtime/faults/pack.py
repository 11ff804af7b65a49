"""A policy pack for these tests: a stop rule that ends a federation when the test says so."""

from pathlib import Path

PACK = '''
import time
from pathlib import Path
import msgspec
from tierwise.plugins import Kind, PluginDescriptor, hookimpl

@hookimpl
def tierwise_stop_rules():
    yield PluginDescriptor(kind=Kind.STOP_RULE, name="told", target="told_pack:Told", options="told_pack:Options",
                           summary="Stop when there is a file of that name.")

class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    file: str
    pause_s: float = 0.0
    """Between two rounds, so that they do not take all of the machine."""

class Told:
    def __init__(self, options):
        self.options = options

    def check(self, history):
        time.sleep(self.options.pause_s)
        return "the test says so" if Path(self.options.file).exists() else None
'''


def install_told(folder: Path) -> Path:
    """Write the pack as pip would install it."""
    metadata = folder / "told_pack-1.0.dist-info"
    metadata.mkdir()
    (folder / "told_pack.py").write_text(PACK)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: told-pack\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[tierwise]\ntold = told_pack\n")
    return folder
