"""From boxes to pixel labels: rules on arrays, networks that are shown boxes, the choice among them on held-out masks,
and the stage `labels`.
"""
