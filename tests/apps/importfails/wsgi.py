"""A script that cannot be imported."""

raise RuntimeError("marker-import")
