"""Many calls through the vendor's batch service, mostly within a day; the same outcomes as of a fan-out.

A run reads its input to the end, sends it as files of one model and one endpoint each, waits for the batches, joins the
results by their ids, and sends again what failed for reasons that pass (data.md section 9).
"""

from .run import BatchRun

__all__ = ["BatchRun"]
