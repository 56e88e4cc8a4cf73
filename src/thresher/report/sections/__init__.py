"""The sections of the report's page, one module each: tables in, blocks of words, charts and galleries out. None reads
a file.
"""
