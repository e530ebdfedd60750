"""The dashboard: pages of the admin on which jobs are watched and steered.

`routes.py` is the table of all pages and actions, with the permission that each needs; a new one is
a row there and a function of (page, …) beside its kind. What every page shows is in `frame.py`.
"""
