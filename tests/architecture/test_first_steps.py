"""What a newcomer types is what CI runs, and the front page says what it needs."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.support.house import ROOT


def test_ci_runs_the_test_command_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.search(r"^ *\$? *make test\b", readme, re.MULTILINE)
    assert re.search(r"^timeout .* make test ", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.MULTILINE)


def test_the_readme_says_what_installing_compiles_and_needs() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "compiler" in readme
    assert "libgmp-dev" in readme


def test_each_make_target_that_the_pages_name_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    named = {
        (page.name, target)
        for page in pages
        for target in re.findall(r"(?:^ +\$? *|`)make ([a-z][a-z-]*)", page.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert {("CONTRIBUTING.md", "test"), ("CONTRIBUTING.md", "check")} <= named
    assert not {pair for pair in named if pair[1] not in targets}


def test_each_link_between_pages_leads_somewhere() -> None:
    wrong: list[str] = []
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)\s]*)?(?:\s+\"[^\"]*\")?\)", page.read_text(encoding="utf-8")):
            if "://" not in link and not (page.parent / link).exists():
                wrong.append(f"{page.relative_to(ROOT)}: {link}")
    assert not wrong, "\n".join(wrong)


def test_the_demo_does_without_what_only_tests_need() -> None:
    """`make demo` installs the extra `demo`, not `dev`."""
    code = """
import runpy, sys
for name in ("gguf", "hypothesis", "pyarrow", "pytest", "greenlet"):
    sys.modules[name] = None
runpy.run_path("docs/demo/demo.py", run_name="demo")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_make_help_tells_each_target() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    told = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)) - {"help"}
    assert set(re.findall(r"make ([a-z-]+)", told)) == targets
