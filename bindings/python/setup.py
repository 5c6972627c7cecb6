"""Builds the wheel: the C++ core is compiled straight into the one extension module, so a wheel needs no libdbc.

Everything else about the package is said in pyproject.toml.
"""

import atexit
import os
import shlex
import shutil
import subprocess
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import setup
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist

HERE = Path(__file__).resolve().parent
BUNDLED = HERE / "core"  # only in an sdist
CORE = BUNDLED if BUNDLED.is_dir() else HERE.parent.parent


def find_zstd():
    """What pkg-config says of libzstd, (compiler flags, linker flags), or None where it is not there."""
    command = shlex.split(os.environ.get("PKG_CONFIG", "pkg-config"))
    try:
        return tuple(
            shlex.split(subprocess.run([*command, flags, "libzstd"], check=True, stdout=subprocess.PIPE, text=True).stdout)
            for flags in ("--cflags", "--libs")
        )
    except (OSError, subprocess.CalledProcessError):
        return None


class BuildWithCore(build_ext):
    """Compiles src/**/*.cc of the library and links the objects into the extension."""

    def build_extension(self, ext):
        self.force = True  # whether the core has changed is not known
        sources = sorted(str(path) for path in (CORE / "src").rglob("*.cc"))
        if not sources:
            raise FileNotFoundError(f"No C++ sources of libdbc under {CORE / 'src'}")

        macros = [("DBC_STATIC", None), ("NDEBUG", None)]
        zstd = find_zstd()
        if zstd:
            macros.append(("DBC_WITH_ZSTD", None))
        else:
            self.warn("libzstd was not found: the option compression will be refused")
        compiler_flags, linker_flags = zstd or ([], [])

        def compile_one(source):
            return self.compiler.compile(
                [source],
                output_dir=self.build_temp,
                macros=macros,
                include_dirs=[str(CORE / "include"), str(CORE / "src")],
                extra_postargs=[
                    "-std=c++20",
                    "-O2",
                    "-g0",
                    "-fvisibility=hidden",
                    "-fvisibility-inlines-hidden",
                    "-pthread",
                    *compiler_flags,
                ],
            )

        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for objects in pool.map(compile_one, sources):
                ext.extra_objects += objects
        ext.extra_link_args += ["-pthread", *linker_flags]
        super().build_extension(ext)


class SdistWithCore(sdist):
    """Puts a copy of the library's sources into the archive, as `core`, so that it builds on its own."""

    def make_release_tree(self, base_dir, files):
        super().make_release_tree(base_dir, files)
        for directory, pattern in (("include", "*.h"), ("src", "*.h"), ("src", "*.cc")):
            for source in (CORE / directory).rglob(pattern):
                target = Path(base_dir) / "core" / source.relative_to(CORE)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)


# Not in the tree: what an earlier build left there could hide a file that is gone, and two builds would disturb each
# other.
build_directory = tempfile.mkdtemp(prefix="diskbackedcache-build-")
atexit.register(shutil.rmtree, build_directory, ignore_errors=True)

options = {"build": {"build_base": build_directory}}
# One wheel for every Python from 3.9 on; but a free-threaded one has no limited API, and setuptools refuses to be asked.
if not sysconfig.get_config_var("Py_GIL_DISABLED"):
    options["bdist_wheel"] = {"py_limited_api": "cp39"}

setup(
    cffi_modules=["dbc_ffi.py:ffi"],
    cmdclass={"build_ext": BuildWithCore, "sdist": SdistWithCore},
    options=options,
)
