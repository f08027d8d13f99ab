"""Findings and transcripts, told: the failure screen, in plain text and in colours."""

from farend.report.conversation import conversation_text
from farend.report.text import note, print_screen, screen

__all__ = ["conversation_text", "note", "print_screen", "screen"]
