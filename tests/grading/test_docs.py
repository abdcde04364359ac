"""docs/grading.md lists every flag and every rejection code, in the words of their tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from facegen.grading.flags import FLAGS, FlagRule
from facegen.submission.rules import Code, limits_for

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "grading.md").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("code", Code, ids=lambda code: code.value)
def test_a_rejection_code_has_its_row(code: Code) -> None:
    assert f"| `{code.value}` | {code.meaning()} | {code.remedy()} |" in PAGE


@pytest.mark.parametrize("rule", FLAGS.values(), ids=lambda rule: rule.code)
def test_a_flag_has_its_row(rule: FlagRule) -> None:
    name = f"{rule.code}:<number>" if rule.compare else rule.code
    evidence = "; ".join(f"`{key}`: {what}" for key, what in rule.evidence.items())
    assert f"| `{name}` | {rule.meaning} | {rule.threshold} | {evidence} |" in PAGE


def test_no_row_is_of_something_else() -> None:
    rows = [line.split("`")[1].removesuffix(":<number>") for line in PAGE if line.startswith("| `")]
    assert sorted(rows) == sorted([*(code.value for code in Code), *FLAGS])


@pytest.mark.parametrize("size", [64, 128])
def test_the_caps_are_those_of_the_limits(size: int) -> None:
    limits = limits_for(size)
    row = (
        f"| {limits.resolution} | {limits.bytes >> 20:,} MiB | {limits.gzip_members:,} | "
        f"{limits.member_bytes >> 20} MiB | {limits.members:,} | {limits.name_bytes} bytes | {limits.pieces:,} |"
    )
    assert row in PAGE
    header = f"at most {limits.header_bytes >> 10} KiB and {limits.header_records} records"
    assert f"{header}, and a PNG at most {limits.metadata}" in " ".join(PAGE)


def test_students_are_told_every_rejection_code() -> None:
    told = (ROOT / "submissions" / "README.md").read_text(encoding="utf-8")
    assert [code.value for code in Code if f"| `{code.value}` |" not in told] == []
