"""Knowing when the programs on an event loop have finished reacting, without waiting for it.

A loop is settled when it can do nothing more unless time passes, or something comes from outside: nothing
is ready and the poll brings nothing, no thread works for it, nobody awaits another program, no message of
a channel layer is under way, and no timer is due within the time that is asked for. One idle moment has
to show all of that at once: `settler.py` asks for it, and the other modules each know one part.
"""
