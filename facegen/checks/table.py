"""The table of all checks, in the order of their lines. To add one, write a function and an entry here."""

from __future__ import annotations

from facegen.checks.check import Check

CHECKS = (
    Check("python", "facegen.checks.software:check_python"),
    Check("facegen", "facegen.checks.software:check_facegen"),
    Check("packages", "facegen.checks.software:check_packages"),
    Check("extensions", "facegen.checks.software:check_extensions"),
    Check("torch", "facegen.checks.hardware:check_torch"),
    Check("gpu", "facegen.checks.hardware:check_gpu"),
    Check("precision", "facegen.checks.hardware:check_precision"),
    Check("memory", "facegen.checks.space:check_memory"),
    Check("disk", "facegen.checks.space:check_disk"),
    Check("cache", "facegen.checks.space:check_cache"),
    Check("weights", "facegen.checks.weights:check_all_weights"),
    Check("pixels", "facegen.checks.pixels:check_pixels"),
    Check("score", "facegen.checks.score:check_score", slow=True),
)
