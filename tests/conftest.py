# SPDX-License-Identifier: Apache-2.0
"""The tiers: what is marked runs only when it is asked for. See docs/testing.md."""
import pytest

MARKS = {
    "slow": "runs only with --all, because it takes long",
    "all_only": "runs only with --all, for the reason it gives",
    "alone": "measures, or looks at the whole machine; ./dev test runs it with nothing beside it",
}


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", dest="run_all",
                     help="also what is marked slow or all_only")


def pytest_configure(config):
    for name, text in MARKS.items():
        config.addinivalue_line("markers", f"{name}: {text}")


def pytest_collection_modifyitems(config, items):
    if config.option.run_all:
        return
    for item in items:
        for name in ("slow", "all_only"):
            mark = item.get_closest_marker(name)
            if mark:
                item.add_marker(pytest.mark.skip(
                    reason=f"only with --all: {mark.args[0] if mark.args else name}"))
