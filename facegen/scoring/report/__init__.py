"""The report: an evaluation as one page that stands alone, for whoever must decide what the value is worth."""

from facegen.scoring.report.page import write_report

__all__ = ["write_report"]
