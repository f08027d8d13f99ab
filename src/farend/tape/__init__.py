"""Tapes: conversations on disk, as JSON Lines that a person can read and a diff can show."""
