"""Images as vectors: the backbone that sees them, the projection that shortens its vectors, and the files (shards)
that hold them. `engine` shares the images out to workers.
"""
