"""Names to objects: the scan of entry points, the lookup, the hooks and the load report.

Nothing here imports pydantic: its first model class scans every distribution unguarded,
so one malformed file would take the diagnosis down with the patient.
"""
