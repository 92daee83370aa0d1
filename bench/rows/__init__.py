"""The rows of ./dev bench: each module measures one or a few, and returns sections of bench/report.py."""
