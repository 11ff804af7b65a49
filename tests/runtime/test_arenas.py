"""How many arenas the C library makes for threads."""

import platform
import subprocess
import sys

import pytest

# Twenty threads that all have memory at the same time; glibc itself tells how many arenas there are then.
PROGRAM = """
import ctypes, sys, threading
from tierwise.runtime.cli.arenas import limit_arenas
if sys.argv[1] == "few":
    limit_arenas()
together = threading.Barrier(20)
def work():
    libc.malloc(100_000)
    together.wait()
libc = ctypes.CDLL(None)
libc.fopen.restype = libc.malloc.restype = ctypes.c_void_p
threads = [threading.Thread(target=work) for _ in range(20)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
file = ctypes.c_void_p(libc.fopen(sys.argv[2].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has arenas")
def test_there_are_few(tmp_path):
    def arenas(how):
        report = tmp_path / how
        subprocess.run([sys.executable, "-c", PROGRAM, how, report], check=True, timeout=60)
        return report.read_text().count("<heap nr=")

    assert arenas("few") <= 2
    assert arenas("as they are") > 2
