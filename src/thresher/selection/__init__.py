"""Which images to take: object diversity from boxes, rankings, near-duplicates, quotas and pins, and the reasons.
Pure functions of tables.
"""
