"""Who acts: sentinel, dispatcher, workers, housekeeping. Started by `manage.py qcluster`."""
