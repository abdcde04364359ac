from __future__ import annotations

import sys
from importlib import metadata

import pytest

import facegen
from facegen.checks import software

REQUIRED = ["click>=8.1", "torch>=2.4", "ruff>=0.6; extra == 'dev'"]


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What pip has installed; a test may change it."""
    installed = {"facegen": facegen.__version__, "click": "8.1.7", "torch": "2.10.0+cu130"}

    def version(name: str) -> str:
        if name not in installed:
            raise metadata.PackageNotFoundError(name)
        return installed[name]

    def requires(name: str) -> list[str]:
        version(name)
        return REQUIRED

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(metadata, "requires", requires)
    return installed


def test_this_python_will_do() -> None:
    found = software.check_python()
    assert found.status == "ok" and "64 bits" in found.message and found.details["bits"] == 64


def test_an_old_python_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(software, "PYTHON", (9, 1))
    found = software.check_python()
    assert (found.status, found.remedy) == ("wrong", "Use Python 9.1 or newer.")


def test_a_32_bit_python_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "maxsize", 2**31 - 1)
    found = software.check_python()
    assert found.status == "wrong" and found.details["bits"] == 32


def test_facegen_tells_its_version_and_place(versions: dict[str, str]) -> None:
    found = software.check_facegen()
    assert found.status == "ok" and facegen.__version__ in found.message and found.details["folder"] in found.message


def test_another_version_than_pips_is_told(versions: dict[str, str]) -> None:
    versions["facegen"] = "0.0.1"
    found = software.check_facegen()
    assert found.status == "warn" and "0.0.1" in found.message


def test_facegen_may_be_used_without_being_installed(versions: dict[str, str]) -> None:
    del versions["facegen"]
    assert software.check_facegen().status == "warn"
    assert software.check_packages().status == "warn"


def test_packages_are_those_of_the_installation_alone(versions: dict[str, str]) -> None:
    found = software.check_packages()
    assert (found.status, found.message) == ("ok", "click 8.1.7, torch 2.10.0+cu130.")


def test_the_real_packages_are_told() -> None:
    versions = software.check_packages().details["versions"]
    assert {"torch", "torchvision", "numpy", "scipy", "pillow", "pytorch-fid", "click"} <= versions.keys()


@pytest.mark.parametrize("version", [None, "2.3.9"])
def test_an_absent_or_old_package_is_wrong(versions: dict[str, str], version: str | None) -> None:
    if version is None:
        del versions["torch"]
    else:
        versions["torch"] = version
    found = software.check_packages()
    assert (found.status, found.remedy) == ("wrong", "Run: pip install 'torch>=2.4'")
