"""Runs all suites and adds up what they say: run_tests.py BUILD_FOLDER [--native] [SUITE ...]

A suite is a name, a language, a function that lists its runs, and a parser of what a run leaves. To add one, add it to
SUITES. A suite that ran no test has failed. The last line is "N passed, N failed".
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree
from collections import namedtuple
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Against hangs, not a limit to be near. `make faults` has programs that run for hours.
TIMEOUT_SECONDS = 6 * 3600 if os.environ.get("DBC_FAULTS_LONG") else 1800

Run = namedtuple("Run", "name command report")  # report: a file the run writes, or None
Outcome = namedtuple("Outcome", "passed failed skipped")
# native: has no other language in it, so it runs under sanitizers too. live: its output is worth watching.
Suite = namedtuple("Suite", "name language runs parse native live")


# ---- Parsers: from exit code, output and report to an Outcome.


def gtest(code, output, report):
    """GoogleTest's --gtest_output=json."""
    try:
        result = json.loads(report.read_text())
    except (OSError, ValueError):
        return Outcome(0, 1, 0)  # it ended before it could write
    skipped = sum(test.get("result") == "SKIPPED" for suite in result["testsuites"] for test in suite["testsuite"])
    skipped += result.get("disabled", 0)
    failed = result["failures"] + result.get("errors", 0)
    return with_exit_code(code, Outcome(result["tests"] - failed - skipped, failed, skipped))


def tap(code, output, report):
    """Lines "ok NAME" and "not ok NAME: why", and at the end the plan "1..N"."""
    lines = output.splitlines()
    passed = sum(line.startswith("ok ") for line in lines)
    failed = sum(line.startswith("not ok ") for line in lines)
    if f"1..{passed + failed}" not in lines:
        failed += 1  # it ended before the end
    return with_exit_code(code, Outcome(passed, failed, 0))


def junit(code, output, report):
    """pytest's --junitxml."""
    try:
        suites = xml.etree.ElementTree.parse(report).getroot().iter("testsuite")
    except (OSError, xml.etree.ElementTree.ParseError):
        return Outcome(0, 1, 0)
    tests = failed = skipped = 0
    for suite in suites:
        tests += int(suite.get("tests", 0))
        failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skipped += int(suite.get("skipped", 0))
    return with_exit_code(code, Outcome(max(tests - failed - skipped, 0), failed, skipped))


def go_test(code, output, report):
    """`go test -json`. Tells what the failed tests have said."""
    if code == 0 and output.startswith("SKIPPED"):
        return Outcome(0, 0, 1)
    if report is None:
        return plain(code, output, report)
    try:
        events = [json.loads(line) for line in report.read_text().splitlines()]
    except (OSError, ValueError):
        return Outcome(0, 1, 0)
    ended = {}
    said = {}
    for event in events:
        name = (event.get("Package", event.get("ImportPath")), event.get("Test"))
        said.setdefault(name, []).append(event.get("Output", ""))
        if event["Action"] in ("pass", "fail", "skip"):
            ended[name] = event["Action"]
    for name, text in said.items():
        if ended.get(name, "fail") == "fail":  # also what did not end, and builds that failed
            print("".join(text), end="")
    counted = [action for (_, test), action in ended.items() if test]
    return with_exit_code(code, Outcome(*(counted.count(action) for action in ("pass", "fail", "skip"))))


def plain(code, output, report):
    """One test, told by the exit code."""
    return Outcome(int(code == 0), int(code != 0), 0)


def libtest(code, output, report):
    """What cargo prints: a line "test result: ..." for each program and for the doc tests. Other commands are one test."""
    if code == 0 and output.startswith("SKIPPED"):
        return Outcome(0, 0, 1)
    results = re.findall(r"^test result: .*?(\d+) passed; (\d+) failed; (\d+) ignored", output, flags=re.MULTILINE)
    if not results:
        return plain(code, output, report)
    return with_exit_code(code, Outcome(*(sum(map(int, column)) for column in zip(*results))))


def with_exit_code(code, outcome):
    """A run that fails without naming a failed test (a crash at exit, a leak) has failed once."""
    return outcome._replace(failed=1) if code != 0 and outcome.failed == 0 else outcome


# ---- Runs.


def programs(folder, suffix, *arguments, built=None, only="", without=None):
    """Every program with a source ONLY*_test in that folder; one not built (into the same folder, or BUILT) fails."""

    def runs(build, reports):
        for source in sorted((ROOT / folder).glob(f"{only}*_test{suffix}")):
            if source.stem == without:
                continue
            report = reports / f"{source.stem}.json"
            command = [build / (built or folder) / source.stem] + [
                argument.format(report=report) for argument in arguments
            ]
            yield Run(source.stem, command, report)

    return runs


def cpp(folder, **which):
    return programs(folder, ".cc", "--gtest_output=json:{report}", **which)


def pytest(folder):
    def runs(build, reports):
        report = reports / (folder.replace("/", "-") + ".xml")
        yield Run(
            folder,
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", ROOT / folder],
            report,
        )

    return runs


def lacking(name, what):
    """In place of runs for which the machine has not what they need: skipped, but never where all has to be tested."""
    print(f"   SKIPPED: {what}" if os.environ.get("CI") != "true" else f"   missing: {what}", file=sys.stderr)
    message = f"print('SKIPPED: ' + {what!r}); raise SystemExit({os.environ.get('CI') == 'true'})"
    return Run(name, [sys.executable, "-c", message], None)


# The toolchains, which soak.py needs too: `*_lacks` says what is to be had, or None; `*_settings` are for the library
# that was just built.
RUST = ROOT / "bindings" / "rust"
GO = ROOT / "bindings" / "go"


def rust_lacks():
    least = re.search(r'^rust-version = "(\d+)\.(\d+)"', (RUST / "Cargo.toml").read_text(), flags=re.MULTILINE)
    present = shutil.which("cargo") and subprocess.run(["cargo", "--version"], stdout=subprocess.PIPE, text=True).stdout
    version = re.match(r"cargo (\d+)\.(\d+)", present or "")
    if not version or tuple(map(int, version.groups())) < tuple(map(int, least.groups())):
        return f"cargo {'.'.join(least.groups())} or later (tests/tools/setup.sh rust)"


def rust_settings(build):
    return {
        "CARGO_TARGET_DIR": ROOT / "build" / "cargo",
        "DBC_SYS": "pkg-config",
        "PKG_CONFIG_PATH": build / "meson-uninstalled",
        "LD_LIBRARY_PATH": build / "src",
    }


def go_lacks():
    if not shutil.which("go") or subprocess.run(["go", "-C", GO, "list", "-m"], capture_output=True).returncode:
        return "a Go as recent as bindings/go/go.mod asks for (tests/tools/setup.sh go)"


def go_settings(build):
    return {
        "PKG_CONFIG_PATH": build / "meson-uninstalled",
        "CGO_CFLAGS": f"-O2 -g -I{ROOT / 'include'}",
        "LD_LIBRARY_PATH": build / "src",
    }


def cargo(build, reports):
    """The Rust binding: with the library that was just built, and its lowest crate also with the source compiled in."""
    if what := rust_lacks():
        yield lacking("cargo test", what)
        return
    compiled_in = {"CARGO_TARGET_DIR": ROOT / "build" / "cargo-source", "DBC_SYS": "source"}

    def run(name, command, *arguments, source=False, **variables):
        settings = {**rust_settings(build), **(compiled_in if source else {}), **variables}
        environment = [f"{variable}={value}" for variable, value in settings.items()]
        manifest = f"--manifest-path={RUST / 'Cargo.toml'}"
        return Run(name, ["env", *environment, "cargo", command, manifest, *arguments], None)

    yield run("cargo test", "test", "--locked", "--workspace", "--quiet", "--no-fail-fast")
    features = ["--features", "buildtime-bindgen"] if any(Path("/usr").glob("lib*/**/libclang*.so*")) else []
    if not features:
        yield lacking("committed declarations", "libclang, to generate the Rust declarations of dbc.h anew")
    sys_crate = ["-p", "diskbackedcache-sys", *features]
    yield run("cargo test (core from source)", "test", "--locked", *sys_crate, "--quiet", source=True)
    yield run("cargo clippy", "clippy", "--locked", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings")
    yield run("cargo fmt", "fmt", "--all", "--check")
    yield run("cargo doc", "doc", "--locked", "--no-deps", "--quiet", RUSTDOCFLAGS="-D warnings")


def cases(build, reports):
    program = build / "tests" / "interop" / "cases_test"
    yield Run("cases_test", [program], None)
    yield Run("cases_test, writing behind", [program, "write_mode=behind"], None)
    yield Run("cases_test, compressing", [program, "compression=zstd"], None)


def hello(build, reports):
    yield Run("examples/c/hello (first run)", [build / "tests" / "hello"], None)
    yield Run("examples/c/hello (second run)", [build / "tests" / "hello"], None)


def go(build, reports):
    """The Go binding, with the library that was just built, and once with the core's source compiled in."""
    if what := go_lacks():
        yield lacking("go test", what)
        return
    library = go_settings(build)
    # The go command does not see changes of what the package's folder does not hold.
    sources = sorted(path for folder in ("src", "include") for path in (ROOT / folder).rglob("*.*"))
    stamp = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    source = {"CGO_CPPFLAGS": f"-DDBC_CORE_STAMP=0x{stamp}", "CGO_CFLAGS": "-O0 -g0", "CGO_CXXFLAGS": "-O0 -g0"}

    def command(settings, script, *arguments):
        environment = [f"{name}={value}" for name, value in settings.items()]
        return ["env", *environment, "sh", "-c", f'cd "$0" && {script}', GO, *arguments]

    def test(name, settings, *arguments):
        report = reports / f"{name}.json"
        script = f"go test -json -count=1 \"$@\" >'{report}'"
        return Run(name, command(settings, script, *arguments), report)

    yield Run("gofmt", command({}, 'gofmt -l . && test -z "$(gofmt -l .)"'), None)
    yield Run("go vet", command(library, "go vet ./..."), None)
    worker = ROOT / "build" / "go" / "interop"
    yield Run("cmd/interop", command(library, 'go build -o "$1" ./cmd/interop', worker), None)
    yield test("go test", library, "./...")
    yield test("go test -race", library, "-race", "-skip", "TestCases", ".")
    yield test("GOEXPERIMENT=cgocheck2", {**library, "GOEXPERIMENT": "cgocheck2"}, "-skip", "TestCases|Leave", ".")
    yield test("core from source", source, "-tags", "dbc_source", "-skip", "TestCases|Leave", ".")


def without_zstd(build, reports):
    """The build for machines without zstd, which nothing else compiles; unoptimized, so that it takes little time."""
    folder = ROOT / "build" / "without-zstd"
    meson = ROOT / "build" / "venv" / "bin" / "meson"  # there only when the system's is too old
    meson = meson if meson.exists() else "meson"
    script = (
        'test -f "$0/build.ninja" || "$1" setup "$0" "$2" -Dzstd=disabled -Doptimization=0 -Ddebug=false || exit\n'
        'folder=$0; shift 2; ninja -C "$folder" --quiet "$@"'
    )
    targets = ["tests/unit/compression_test", "tests/unit/compressed_store_test"]
    targets += ["tests/api/compression_test", "tests/api/options_test"]
    yield Run("meson setup -Dzstd=disabled, ninja", ["sh", "-c", script, folder, meson, ROOT, *targets], None)
    for target in targets:
        yield Run(target, [folder / target], None)


def steps(build, reports):
    yield Run("every step has a test", [sys.executable, ROOT / "tests" / "tools" / "steps.py"], None)


def corpora(build, reports):
    for corpus in sorted((ROOT / "tests" / "fuzz" / "corpus").iterdir()):
        yield Run(corpus.name, [build / "tests" / "fuzz" / f"{corpus.name}_fuzz", corpus], None)


SUITES = [
    Suite("unit", "C++", cpp("tests/unit"), gtest, native=True, live=False),
    Suite("model", "C++", cpp("tests/model", without="cost_test"), gtest, native=True, live=False),
    # Costs are compared by time where they cannot be counted; a sanitizer would be what is measured.
    Suite("cost", "C++", cpp("tests/model", only="cost"), gtest, native=False, live=False),
    Suite("soak", "C++", cpp("tests/soak"), gtest, native=True, live=False),
    Suite("faults", "C++", cpp("tests/faults"), gtest, native=True, live=False),
    # What the fuzzers of `make fuzz` have found worth keeping.
    Suite("fuzz", "C++", corpora, tap, native=True, live=False),
    # Against the C ABI too; bytes of files are changed at random.
    Suite("corrupt", "C++", cpp("tests/corrupt"), gtest, native=True, live=False),
    Suite("api", "C", programs("tests/api", ".c"), tap, native=True, live=False),
    Suite("cases", "C", cases, tap, native=True, live=False),
    Suite("without zstd", "C", without_zstd, plain, native=False, live=False),
    Suite("example", "C", hello, plain, native=True, live=False),
    Suite("abi", "C", pytest("tests/abi"), junit, native=False, live=True),
    Suite("python", "Python", pytest("tests/python"), junit, native=False, live=True),
    Suite("rust", "Rust", cargo, libtest, native=False, live=False),
    Suite("go", "Go", go, go_test, native=False, live=False),
    # After the suites that build the programs it starts.
    Suite("interop", "all", pytest("tests/interop"), junit, native=False, live=True),
    Suite("steps", "plan", steps, plain, native=False, live=False),
]


# ---- Running.


def execute(run, live, environment, folder):
    """(exit code, output) of one run, in a folder that is thrown away; None as exit code when it took too long."""
    if live:
        sys.stdout.flush()
        try:
            return subprocess.run(run.command, env=environment, cwd=ROOT, timeout=TIMEOUT_SECONDS).returncode, ""
        except subprocess.TimeoutExpired:
            return None, "took too long"
    try:
        done = subprocess.run(
            run.command,
            env=environment,
            cwd=folder,
            timeout=TIMEOUT_SECONDS,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        return done.returncode, done.stdout.decode(errors="replace")
    except subprocess.TimeoutExpired as expired:
        return None, (expired.stdout or b"").decode(errors="replace") + "\ntook too long"
    except OSError as error:
        return None, f"{error}"


def run_suite(suite, build, environment):
    total = Outcome(0, 0, 0)
    print(f"\n== {suite.name} ({suite.language})", flush=True)
    with tempfile.TemporaryDirectory(prefix="dbc-tests-") as folder:
        for run in suite.runs(build, Path(folder)):
            began = time.monotonic()
            code, output = execute(run, suite.live, environment, folder)
            outcome = Outcome(0, 1, 0) if code is None else suite.parse(code, output, run.report)
            total = Outcome(*map(sum, zip(total, outcome)))
            if outcome.failed:
                print(output, end="" if output.endswith("\n") else "\n")
            told = (
                f"{outcome.passed} passed"
                + (f", {outcome.failed} FAILED" if outcome.failed else "")
                + (f", {outcome.skipped} skipped" if outcome.skipped else "")
            )
            print(f"   {run.name:40} {told}  ({time.monotonic() - began:.1f} s)", flush=True)
    if sum(total) == 0:
        print("   no test was run: that is a failure")
        total = total._replace(failed=1)
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=Path, help="the folder that meson built in")
    parser.add_argument("--native", action="store_true", help="only what can run under a sanitizer")
    parser.add_argument(
        "suites", nargs="*", metavar="SUITE", help="only these: " + ", ".join(suite.name for suite in SUITES)
    )
    arguments = parser.parse_args()
    unknown = set(arguments.suites) - {suite.name for suite in SUITES}
    if unknown:
        parser.error(f"no such suite: {', '.join(sorted(unknown))}")
    build = arguments.build.resolve()
    environment = dict(os.environ, DBC_LIBRARY=str(build / "src" / "libdbc.so"))
    chosen = [
        suite
        for suite in SUITES
        if (suite.native or not arguments.native) and (not arguments.suites or suite.name in arguments.suites)
    ]
    outcomes = [(suite, run_suite(suite, build, environment)) for suite in chosen]

    print("\n== totals")
    for language in dict.fromkeys(suite.language for suite, _ in outcomes):
        passed, failed, skipped = map(sum, zip(*(outcome for suite, outcome in outcomes if suite.language == language)))
        print(f"   {language:8} {passed:6} passed {failed:4} failed {skipped:4} skipped")
    failed = sum(outcome.failed for _, outcome in outcomes)
    print(
        "   failed: " + ", ".join(suite.name for suite, outcome in outcomes if outcome.failed)
        if failed
        else "   all well"
    )
    print(f"{sum(outcome.passed for _, outcome in outcomes)} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
