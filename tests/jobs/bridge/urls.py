"""django-q2's admin, which the demo project does not show."""

from django.contrib import admin
from django.urls import path
from django_q.admin import FailAdmin, ScheduleAdmin, TaskAdmin
from django_q.models import Failure, Schedule, Success

site = admin.AdminSite()
site.register(Schedule, ScheduleAdmin)
site.register(Success, TaskAdmin)
site.register(Failure, FailAdmin)

urlpatterns = [path("admin/", site.urls)]
