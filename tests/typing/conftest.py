"""The mistakes are for mypy alone: they raise when they are run, as pytest would to collect their doctests."""

collect_ignore = ["mistakes.py", "user_code.py"]
