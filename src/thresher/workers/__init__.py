"""Work in processes of our own or on a Ray cluster: lines of text in and out, files for all else, so that a worker may
die without taking anyone with it.
"""
