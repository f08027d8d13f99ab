"""The first floor: the only rooms that move bytes."""
