"""What comes in and goes out: data sets and how their annotations are read, images and label maps, taxonomies, and the
formats that selections are written in.
"""
