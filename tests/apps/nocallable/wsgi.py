"""A script without an application."""

other = 1
