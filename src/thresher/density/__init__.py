"""How near an image is to the target: mixtures of Gaussians and of directions on the sphere, the layout's query,
cosines. Pure functions of arrays.
"""
