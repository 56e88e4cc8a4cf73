"""Comparisons by proxy: the frozen encoder's features of each image are kept on disk, and on them a small head is
trained in seconds in place of a network, for the same selections, with the same statistics.
"""
