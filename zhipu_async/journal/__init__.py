"""The journal of a run: what is done is on the disk, and not sent again."""

from .file import rewrite_in_order
from .lines import JournalEntry, outcome_of, read_journal, record_of
from .writing import Journal

__all__ = ["Journal", "JournalEntry", "outcome_of", "read_journal", "record_of", "rewrite_in_order"]
