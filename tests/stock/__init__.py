"""A foreign project: Django's own admin site, and of ours nothing but the app `jobs`."""
