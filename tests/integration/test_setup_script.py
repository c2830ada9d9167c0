"""The set-up looks for what pip will need before pip starts, installs it where it can, and else names one command.

Each scene is a PATH of its own, in which the compiler, apt-get, id and Python are small scripts: what is not put there
is not there, so the compiler of this machine is really hidden.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.house import ROOT

SETUP = ROOT / ".ci" / "setup"
TOOLS = ("sh", "dirname", "mktemp", "rm", "cat", "grep", "touch", "mkdir", "chmod")
"""What the script and the small scripts need of a Unix; no compiler among them."""

COMPILER = """#!/bin/sh
# A compiler without the headers in $here/hidden. It knows no program beyond what it is asked to include.
for word; do
    case $last in -o) out=$word ;; esac
    case $word in *.c) source=$word ;; esac
    last=$word
done
while read -r header; do
    if grep -q "<$header>" "$source"; then exit 1; fi
done <"$here/hidden"
touch "$out"
"""

PYTHON = """#!/bin/sh
# The real Python, but for a venv, which is only written down, and its pip, likewise.
if [ "$1 $2" = "-m venv" ]; then
    mkdir -p "$4/bin"
    printf '#!/bin/sh\\necho "$@" >>"$here/pip"\\n' >"$4/bin/python"
    chmod +x "$4/bin/python"
    exit 0
fi
exec {python} "$@"
"""

APT = """#!/bin/sh
# Writes down what it is asked for. An installed gmp is no longer hidden; an installed gcc is there.
echo "$@" >>"$here/apt"
case "$*" in *libgmp-dev*) : >"$here/hidden" ;; esac
case "$*" in *gcc*) cp_compiler=$here/bin/gcc; cat "$here/gcc" >"$cp_compiler"; chmod +x "$cp_compiler" ;; esac
"""


class Machine:
    """A machine as the set-up script sees it: PATH has the basic tools, Python, and what a scene adds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir()
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found, f"{tool} is not on this machine"
            (self.bin / tool).symlink_to(found)
        self.add("python3", PYTHON.replace("{python}", sys.executable))
        self.add("ip", "#!/bin/sh\n")
        self.add("unshare", "#!/bin/sh\n")
        self.user("1000")
        (folder / "gcc").write_text(COMPILER)
        (folder / "hidden").write_text("")

    def add(self, name: str, script: str) -> None:
        (self.bin / name).write_text(script)
        (self.bin / name).chmod(0o755)

    def user(self, number: str) -> None:
        self.add("id", f"#!/bin/sh\necho {number}\n")

    def compiler(self, *, without: str = "") -> None:
        self.add("gcc", COMPILER)
        (self.folder / "hidden").write_text(f"{without}\n" if without else "")

    def set_up(self, extra: str = "demo") -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": str(self.bin),
            "here": str(self.folder),
            "VENV": str(self.venv),
            "TMPDIR": str(self.folder),
        }
        # Where Python was built names the compiler otherwise (for example x86_64-linux-gnu-gcc).
        environment["CC"] = "gcc"
        command = [str(SETUP), extra]
        return subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )

    @property
    def venv(self) -> Path:
        return self.folder / "venv"

    def asked_of(self, tool: str) -> list[str]:
        path = self.folder / tool
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def commands(message: str) -> list[str]:
    """The lines that stand indented and alone, to be copied."""
    return [line.strip() for line in message.splitlines() if line.startswith("    ")]


DEV = f"python3.{sys.version_info[1]}-dev"


def test_without_a_compiler_it_prints_the_one_command_and_stops_before_pip(machine: Machine) -> None:
    machine.add("apt-get", APT)
    ran = machine.set_up()
    assert ran.returncode == 1
    assert "a C compiler" in ran.stderr
    wanted = f"sudo sh -c 'apt-get update && apt-get install -y gcc libc6-dev libgmp-dev {DEV}'"
    assert commands(ran.stderr) == [wanted]
    assert not machine.venv.exists()
    assert machine.asked_of("apt") == []


@pytest.mark.parametrize(("header", "package"), [("gmp.h", "libgmp-dev"), ("Python.h", DEV)])
def test_a_missing_header_is_named_alone(machine: Machine, header: str, package: str) -> None:
    machine.add("apt-get", APT)
    machine.compiler(without=header)
    ran = machine.set_up()
    assert ran.returncode == 1
    assert header in ran.stderr
    assert commands(ran.stderr) == [f"sudo sh -c 'apt-get update && apt-get install -y {package}'"]
    assert not machine.venv.exists()


def test_another_system_gets_its_own_command(machine: Machine) -> None:
    machine.add("dnf", "#!/bin/sh\n")
    ran = machine.set_up()
    assert ran.returncode == 1
    assert commands(ran.stderr) == ["sudo dnf install -y python3 python3-devel gcc gmp-devel iproute"]


def test_debian_as_root_gets_what_is_missing_installed_and_goes_on(machine: Machine) -> None:
    machine.add("apt-get", APT)
    (machine.folder / "hidden").write_text("gmp.h\n")
    machine.user("0")
    ran = machine.set_up()
    assert ran.returncode == 0, ran.stderr
    update, install = machine.asked_of("apt")
    assert "update" in update
    assert install.endswith(f"gcc libc6-dev libgmp-dev {DEV}")
    assert any(line.endswith("--editable .[demo]") for line in machine.asked_of("pip"))


def test_when_installing_does_not_help_the_command_is_printed(machine: Machine) -> None:
    machine.add("apt-get", "#!/bin/sh\nexit 100\n")
    machine.user("0")
    ran = machine.set_up()
    assert ran.returncode == 1
    assert commands(ran.stderr) == [f"sh -c 'apt-get update && apt-get install -y gcc libc6-dev libgmp-dev {DEV}'"]
    assert not machine.venv.exists()


def test_a_machine_that_has_everything_is_asked_for_nothing(machine: Machine) -> None:
    machine.add("apt-get", APT)
    machine.user("0")
    machine.compiler()
    ran = machine.set_up("dev")
    assert ran.returncode == 0, ran.stderr
    assert machine.asked_of("apt") == []
    assert any(line.endswith("--editable .[dev]") for line in machine.asked_of("pip"))


def test_an_old_python_is_named_with_its_version(machine: Machine) -> None:
    machine.compiler()
    machine.add("python3", '#!/bin/sh\n[ "$1" != --version ] || echo Python 3.9.18\nexit 1\n')
    ran = machine.set_up()
    assert ran.returncode == 1
    assert "Python 3.11 or newer (python3 is: Python 3.9.18)" in ran.stderr
    assert not machine.venv.exists()


def test_the_tests_need_ip_for_network_namespaces_and_the_demo_does_not(machine: Machine) -> None:
    machine.compiler()
    (machine.bin / "ip").unlink()
    assert "network namespaces" in machine.set_up("dev").stderr
    assert machine.set_up("demo").returncode == 0
