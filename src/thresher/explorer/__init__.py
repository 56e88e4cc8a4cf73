"""A run in the browser: the web application, what its page asks and the answers, the review that people make. The
page's HTML, CSS and scripts lie in `page`.
"""
