"""The C example and the README do what they say."""

import re
import shutil
import subprocess

import pytest


def link_example(root, library, folder):
    """Builds examples/c/hello.c as its reader would, against the library of the build folder."""
    name = folder / "libdbc.so"
    if not name.exists():
        name.symlink_to(library)
    done = subprocess.run(
        [
            "cc",
            "-std=c99",
            "-Wall",
            "-Wextra",
            "-Wpedantic",
            "-Werror",
            f"-I{root / 'include'}",
            str(root / "examples" / "c" / "hello.c"),
            f"-L{folder}",
            f"-Wl,-rpath,{library.parent}",
            "-ldbc",
            "-o",
            str(folder / "hello"),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder / "hello"


def test_step_42_the_c_example_finds_what_it_left(root, library, tmp_path):
    hello = link_example(root, library, tmp_path)
    outputs = [
        subprocess.run([str(hello)], cwd=tmp_path, check=True, capture_output=True, text=True).stdout for _ in range(2)
    ]
    assert outputs == ["miss: nothing was there yet, so it is put\nhit: Hello, world\n", "hit: Hello, world\n"]


def test_step_42_the_c_example_tells_errors(root, library, tmp_path):
    hello = link_example(root, library, tmp_path)
    (tmp_path / "hello-cache").write_text("a file where a folder should be")
    done = subprocess.run([str(hello)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith("DBC_IO: ")


@pytest.fixture(scope="module")
def readme(root):
    return (root / "README.md").read_text()


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def test_step_43_readme_says_how_to_try_and_test(readme):
    assert readme.startswith("# ")
    assert "make demo" in readme and "make test" in readme


def test_step_43_readme_names_no_make_target_that_is_not_there(root, readme):
    targets = set(re.findall(r"^([a-z]+):", (root / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", readme, flags=re.MULTILINE))
    assert named and named <= targets


def test_step_43_readme_links_to_what_is_there(root, readme):
    prose = re.sub(r"^```.*?^```", "", readme, flags=re.DOTALL | re.MULTILINE)
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", prose) if not re.match(r"\w+:", link)]
    assert [link for link in links if not (root / link).exists()] == []


def test_step_43_readme_python_is_python(readme):
    examples = blocks(readme, "python")
    assert examples
    for example in examples:
        compile(example, "README.md", "exec")


def test_step_43_readme_c_compiles(root, readme, tmp_path):
    examples = [block for block in blocks(readme, "c") if "#include" in block]
    for example in examples:
        body = (
            example
            if "int main" in example
            else re.sub(r"^(?!#include)(?=\S)", "int main(void) {\n", example, count=1, flags=re.MULTILINE)
            + "\nreturn 0;\n}\n"
        )
        (tmp_path / "readme.c").write_text(body)
        done = subprocess.run(
            ["cc", "-std=c11", "-fsyntax-only", f"-I{root / 'include'}", str(tmp_path / "readme.c")],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr


def test_the_library_installs_and_pkg_config_finds_it(root, tmp_path):
    """As a user has it: installed, found by pkg-config, linked, run."""
    build, prefix = tmp_path / "build", tmp_path / "prefix"
    meson = shutil.which("meson")
    assert meson
    for command in (
        ["setup", str(build), str(root), f"--prefix={prefix}", "-Dtests=false", "-Dbuildtype=debug", "-Dlibdir=lib"],
        ["install", "-C", str(build)],
    ):
        done = subprocess.run([meson, *command], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    environment = {"PATH": "/usr/bin:/bin", "PKG_CONFIG_PATH": str(prefix / "lib" / "pkgconfig")}
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "dbc"], env=environment, check=True, capture_output=True, text=True
    ).stdout.split()
    hello = tmp_path / "hello"
    subprocess.run(
        ["cc", str(root / "examples" / "c" / "hello.c"), *flags, f"-Wl,-rpath,{prefix / 'lib'}", "-o", str(hello)],
        check=True,
    )
    done = subprocess.run([str(hello)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "Hello, world" in done.stdout, (done.returncode, done.stdout, done.stderr)
