"""Builds the one extension module, fastrnn._native.

pyproject.toml holds everything else. What setuptools cannot say by itself is said here: each file of
csrc/isa/ is compiled with flags of its own, which its first line names, and only for its own architecture:

    /* arch: x86_64  flags: -mavx2 -mfma */

Environment: FASTRNN_OPENMP=0 builds without OpenMP. CFLAGS is honoured; it comes after -O3 and before the
flags that fix the meaning of floating-point arithmetic.
"""

import hashlib
import os
import re
import shlex
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError, PlatformError

ROOT = Path(__file__).parent
PYX = "fastrnn/_native.pyx"
ISA_SOURCES = sorted(p.relative_to(ROOT).as_posix() for p in ROOT.glob("csrc/isa/*.c"))
C_SOURCES = sorted(
    p.relative_to(ROOT).as_posix() for p in ROOT.glob("csrc/*.c") if not p.name.endswith("_tmpl.c")
)
C_FILES = sorted(p.relative_to(ROOT).as_posix() for p in ROOT.glob("csrc/**/*") if p.is_file())

# docs/numerics.md: nothing is contracted but the fused multiply-adds that the source writes.
FLOAT_FLAGS = ["-fno-fast-math", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]

# What the kernels ask of a compiler: GCC has it from 12 on, clang since long.
SHUFFLE = """\
typedef int v4 __attribute__((vector_size(16)));
int first(v4 a, v4 b) { return __builtin_shufflevector(a, b, 0, 4, 1, 5)[0]; }
"""
OPENMP = "#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n"

FIRST_LINE = re.compile(r"/\* arch: (?P<arch>\w+)\s+flags:(?P<flags>.*?)\*/")


def isa_flags(source):
    """The architecture of a file of csrc/isa/ and its compiler flags, as its first line names them."""
    first = (ROOT / source).read_text(encoding="utf-8").partition("\n")[0]
    match = FIRST_LINE.match(first)
    if match is None:
        raise SystemExit(f"{source}: the first line must read `/* arch: NAME  flags: ... */`, not {first!r}")
    return match["arch"], match["flags"].split()


class BuildNative(build_ext):
    """Compile in parallel, and compile again only what has changed."""

    def build_extension(self, ext):
        callers = shlex.split(os.environ.get("CFLAGS", ""))
        self.check_compiler()
        openmp = self.openmp_flags(callers)
        c_flags = [
            "-std=gnu11",
            "-O3",
            "-g0",
            *callers,
            *FLOAT_FLAGS,
            "-fvisibility=hidden",
            *openmp,
        ]
        machine = self.plat_name.rpartition("-")[2]

        jobs = []  # source, flags, files it depends on; the slowest first
        for source in ISA_SOURCES:
            arch, flags = isa_flags(source)
            if arch in ("any", machine):
                jobs.append((source, [*c_flags, "-Wall", "-Wextra", *flags], C_FILES))
        jobs.append((self.cythonize(), c_flags, C_FILES))
        jobs += [(source, [*c_flags, "-Wall", "-Wextra"], C_FILES) for source in C_SOURCES]

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = list(pool.map(lambda job: self.compile(*job), jobs))

        # At linking -ffast-math would flush the subnormals of the whole process.
        target, flags = self.get_ext_fullpath(ext.name), [*openmp, "-fno-fast-math"]
        self.compiler.link_shared_object(objects, target, extra_postargs=flags)

    def cythonize(self):
        from Cython.Build import cythonize

        (module,) = cythonize(
            [Extension("fastrnn._native", [PYX])],
            build_dir=self.build_temp,
            force=self.force,
            compiler_directives={"language_level": "3"},
        )
        return module.sources[0]

    def compile(self, source, flags, depends):
        """Compile one file, unless its object is newer than all it depends on; return the object."""
        import numpy

        key = hashlib.sha256(" ".join([*self.compiler.compiler_so, *flags]).encode()).hexdigest()[:12]
        directory = str(Path(self.build_temp, key))
        (target,) = self.compiler.object_filenames([source], output_dir=directory)
        newest = max(Path(p).stat().st_mtime for p in [source, *depends])
        if self.force or not Path(target).exists() or Path(target).stat().st_mtime <= newest:
            self.compiler.compile(
                [source],
                output_dir=directory,
                include_dirs=["csrc", numpy.get_include(), *self.include_dirs],
                extra_postargs=flags,
            )
        return target

    def openmp_flags(self, callers):
        """["-fopenmp"] where the compiler has it, else [] with a message."""
        if os.environ.get("FASTRNN_OPENMP", "1") == "0":
            self.warn("FASTRNN_OPENMP=0: building without OpenMP; fastrnn will run on one thread")
            return []
        if not self.builds(OPENMP, [*callers, "-fopenmp"], link=True):
            self.warn("the C compiler has no OpenMP: building without it; fastrnn will run on one thread")
            return []
        return ["-fopenmp"]

    def check_compiler(self):
        """Say at once, and once, what is missing."""
        name = self.compiler.compiler_so[0]
        if shutil.which(name) is None:
            fault = f"there is no C compiler {name!r}"
        elif not self.builds(SHUFFLE):
            fault = f"the C compiler {name!r} does not work, or does not know __builtin_shufflevector"
        elif not self.builds("#include <Python.h>\n"):
            fault = "the C headers of Python or of the C library are missing"
        else:
            return
        raise PlatformError(
            f"{fault}. fastrnn is built by GCC 12 or later, or clang, and the headers of Python. Install:\n"
            "  Debian, Ubuntu   apt install gcc python3-dev\n"
            "  Fedora           dnf install gcc python3-devel\n"
            "and name the compiler, where it is not the default: CC=clang pip install ..."
        )

    def builds(self, program, flags=(), link=False):
        """Whether the compiler takes a program."""
        with tempfile.TemporaryDirectory() as directory:
            source = Path(directory, "probe.c")
            source.write_text(program)
            options = {"output_dir": directory, "extra_postargs": list(flags)}
            try:
                objects = self.compiler.compile([str(source)], **options)
                if link:
                    self.compiler.link_executable(objects, "probe", **options)
            except CCompilerError:
                return False
        return True


setup(
    ext_modules=[Extension("fastrnn._native", [PYX], depends=C_FILES)],
    cmdclass={"build_ext": BuildNative},
)
