"""Other notations for a script, each a thin translation into steps."""
