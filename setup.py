"""The folder map and the optional extension; all other metadata is in pyproject.toml.

Two switches in the environment: ``TIERWISE_REQUIRE_KERNELS=1`` makes a build without the compiled kernels
fail, ``TIERWISE_BOUNDSCHECK=1`` compiles them with Cython's bounds checks.
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

FOLDERS = ("core", "plugins", "runtime", "ext")
REQUIRE_KERNELS = os.environ.get("TIERWISE_REQUIRE_KERNELS") == "1"
BOUNDSCHECK = os.environ.get("TIERWISE_BOUNDSCHECK") == "1"

# Every addition and product must round as written, or the kernels would differ from their twins.
FLAGS = {"msvc": ["/O2", "/fp:precise"]}
UNIX_FLAGS = ["-O3", "-ffp-contract=off", "-g0"]
# Its many loops are no faster with what -O3 has beyond vectors, and take twice as long to compile.
CODED_FLAGS = ["-O2", "-ftree-vectorize", *UNIX_FLAGS[1:]]

KERNELS = sorted(Path("ext").glob("*.pyx"))
HEADERS = [str(path) for pattern in ("*.h", "*.pxi") for path in sorted(Path("ext").glob(pattern))]

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": BOUNDSCHECK,
    "wraparound": False,
    "initializedcheck": False,
    "cdivision": True,
}


class BuildKernels(build_ext):
    """Sets what depends on the compiler in use, and lets a build without kernels pass."""

    def build_extensions(self) -> None:
        """Set flags here, where the compiler is known, and `optional`, which `cythonize` does not hand on."""
        self.parallel = self.parallel or os.cpu_count()
        for extension in self.extensions:
            unix = CODED_FLAGS if extension.name.endswith("._coded") else UNIX_FLAGS
            extension.extra_compile_args = FLAGS.get(self.compiler.compiler_type, unix)
            extension.optional = not REQUIRE_KERNELS
        super().build_extensions()


def subpackages() -> dict[str, str]:
    """Map every package folder at the root to ``tierwise.<folder>``, with all packages below it."""
    mapped = {}
    for folder in FOLDERS:
        mapped[f"tierwise.{folder}"] = folder
        for inner in find_packages(folder):
            mapped[f"tierwise.{folder}.{inner}"] = f"{folder}/{inner.replace('.', '/')}"
    return mapped


packages = subpackages()
setup(
    packages=sorted(packages),
    package_dir=packages,
    package_data={"": ["py.typed", "*.pyi", "*.csv", "*.css", "*.js"]},
    include_package_data=False,
    cmdclass={"build_ext": BuildKernels},
    ext_modules=cythonize(
        [
            Extension(f"tierwise.ext.{path.stem}", [str(path)], depends=HEADERS, include_dirs=["ext"])
            for path in KERNELS
        ],
        build_dir="build/cython",
        compiler_directives=DIRECTIVES,
        force=True,  # a changed switch does not make the source newer
    ),
)
