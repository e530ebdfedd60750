"""Recurring jobs: their list, the page of one, forms, and what can be done with them."""
