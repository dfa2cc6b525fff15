"""Set up and run this repository with nothing but Python 3.11 and a package registry.

    python3 dev.py demo            the demo, ending with a table of what became of the orders
    python3 dev.py test            all checks, as CI does them: format, lint, types, import rules, tests, docs
                                   (some need Chromium or Redis, which are installed where apt-get can do it)
    python3 dev.py test --quick    the same without the slow tests, in under a minute

The first run makes `.venv` and installs the pinned versions of `requirements.lock` into it.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent
VENV = ROOT / ".venv"
BIN = VENV / "bin"
LOCK = ROOT / "requirements.lock"
STAMP = VENV / "installed"

# program that the slow tests use -> Debian's packages
PROGRAMS = {"chromium": ("chromium", "fonts-dejavu-core"), "redis-server": ("redis-server",)}

CHECKS: Sequence[tuple[str, Sequence[str]]] = (
    ("format", ("ruff", "format", "--check", ".")),
    ("lint", ("ruff", "check", ".")),
    ("types", ("mypy",)),
    ("import rules", ("lint-imports", "--no-cache")),
    ("definitions", ("dg", "check", "defs")),
)
TESTS = ("pytest", "--cov", "--cov-report=term", "-n", "2", "--dist", "worksteal")
FIGURES = ("python", "-m", "benchmarks", "--repeats", "1")  # only a wrong result fails
QUICK_TESTS = ("pytest", "-q", "-n", "2", "-m", "not slow")


def main(arguments: Sequence[str]) -> int:
    """Run one of the commands above; returns the process's exit status."""
    command, *rest = arguments or ["help"]
    if command == "demo":
        set_up()
        status = run("xcapi", "demo", *rest)
        print(f"The commands are in {BIN}; to let the shell find them: . {BIN.relative_to(ROOT)}/activate")
        return status
    if command == "test" and not set(rest) - {"--quick"}:
        set_up()
        if "--quick" not in rest:
            set_up_programs()
        return test(is_quick="--quick" in rest)
    print(__doc__)
    return 0 if command in ("help", "--help", "-h") else 2


def set_up() -> None:
    """Install what the lock file says, unless that was done for this very file."""
    wanted = hashlib.sha256(LOCK.read_bytes() + (ROOT / "pyproject.toml").read_bytes()).hexdigest()
    if STAMP.exists() and STAMP.read_text() == wanted:
        return
    print("Setting up .venv with the pinned versions of requirements.lock: a few minutes, once ...", flush=True)
    venv.create(VENV, with_pip=True)
    pip = [str(BIN / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--compile"]
    subprocess.run([*pip, "-r", str(LOCK)], check=True)
    subprocess.run([*pip, "--no-deps", "-e", str(ROOT)], check=True)
    STAMP.write_text(wanted)


def set_up_programs() -> None:
    """Install the PROGRAMS that are missing with apt-get; elsewhere the tests that need them say so."""
    missing = [packages for program, packages in PROGRAMS.items() if not shutil.which(program)]
    if not missing or not shutil.which("apt-get") or os.geteuid() != 0:
        return
    names = [name for packages in missing for name in packages]
    print(f"Setting up {', '.join(names)} with apt-get ...", flush=True)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    install = ("apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *names)
    for command in (("apt-get", "update", "--quiet"), install):
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False)


def test(*, is_quick: bool) -> int:
    """Run every check, the slow tests only if not quick; returns 0 when all passed."""
    checks = (*CHECKS[:-1], ("tests", QUICK_TESTS)) if is_quick else (*CHECKS, ("tests", TESTS), ("figures", FIGURES))
    failed = []
    for name, check in checks:
        print(f"\n== {name}: {' '.join(check)}", flush=True)
        if run(*check):
            failed.append(name)
    print(f"\nFailed: {', '.join(failed)}" if failed else "\nAll checks passed.")
    return 1 if failed else 0


def run(program: str, *arguments: str) -> int:
    """Run a program of the virtual environment in this repository; returns its exit status."""
    environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "DAGSTER_DISABLE_TELEMETRY": "1"}
    return subprocess.run([str(BIN / program), *arguments], cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
