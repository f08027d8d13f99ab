"""The ground floor: what a far end says, as a pure machine.

Nothing in this room opens a socket, starts a thread, runs a loop or looks at a clock. Time comes in
as an argument, bytes come in as events, and what is to be done comes out as commands.
"""
