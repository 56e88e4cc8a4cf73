"""The command line: names, flags and words. Each command imports its stage only when it runs; what a command does is
done by the same functions that Python users call.
"""
