"""What holds for every test: none sees or touches the user's own p2phub, and a failure can be had again."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.support.processes import Scene

# No deadline: machines that run tests are busy. In CI the same examples each time, so that a failure can be had again.
settings.register_profile("p2phub", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("p2phub"), derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "p2phub")


@pytest.fixture(scope="session", autouse=True)
def _not_the_users_own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hide the user's P2PHUB_* settings, and name a home that does not exist in place of the usual one."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("P2PHUB_")]:
            patch.delenv(name)
        patch.setenv("P2PHUB_HOME", str(tmp_path_factory.mktemp("no-home") / "home"))
        yield


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Put back what a command that ran in this process made of logging: else the next test's records go there."""
    own, root = logging.getLogger("p2phub"), logging.getLogger()
    propagate, levels, handlers = own.propagate, (own.level, root.level), (own.handlers[:], root.handlers[:])
    yield
    own.propagate = propagate
    for logger, level, kept in zip((own, root), levels, handlers, strict=True):
        logger.setLevel(level)
        logger.handlers[:] = kept


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell the logs of the processes that a failed test had started, and where they are kept."""
    report = yield
    if report.failed:
        report.sections += [(f"processes of the scene in {scene.folder}", scene.logs()) for scene in Scene.played]
    if call.when == "teardown":
        Scene.played.clear()
    return report
