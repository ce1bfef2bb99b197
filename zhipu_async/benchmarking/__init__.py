"""Measures models: time to first token, time per output token, throughput, under loads that are closed or open."""

from .comparison import Change, Comparison, compare
from .measures import METRICS, RATES, Distribution, Metric, Rate, Summary
from .report import LoadReport, Report
from .runner import Benchmark, undisturbed_client
from .samples import Sample
from .workload import Closed, Given, Load, Open, Prompts, Synthetic

__all__ = [
    "METRICS",
    "RATES",
    "Benchmark",
    "Change",
    "Closed",
    "Comparison",
    "Distribution",
    "Given",
    "Load",
    "LoadReport",
    "Metric",
    "Open",
    "Prompts",
    "Rate",
    "Report",
    "Sample",
    "Summary",
    "Synthetic",
    "compare",
    "undisturbed_client",
]
