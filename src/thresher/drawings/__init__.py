"""Pictures and charts from arrays and tables: contact sheets, heat maps, thumbnails, Vega-Lite charts. Nothing here
knows of runs."""
