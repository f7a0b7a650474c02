"""The ledger: every paid answer on disk, and all that is written beside it."""
