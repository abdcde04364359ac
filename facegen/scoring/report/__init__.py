"""The report: an evaluation as one self-contained page.

It is for readers who must decide what the value is worth.
"""

from facegen.scoring.report.page import write_report

__all__ = ["write_report"]
