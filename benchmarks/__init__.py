"""What farend costs, beside the least code that does the same, and beside other tools.

python -m benchmarks --help
"""
