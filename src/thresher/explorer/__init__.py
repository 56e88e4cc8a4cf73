"""A run in the browser: the web application, its API, and the review. The page's HTML, CSS and
scripts are in `page`.
"""
