"""Addresses for a scraper: `path("", include("jobs.dashboard.metrics_urls"))` serves /metrics."""

from __future__ import annotations

from django.urls import path

from .prometheus import view

urlpatterns = [path("metrics", view, name="jobs_metrics")]
