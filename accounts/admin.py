"""Users in the admin."""

from django.contrib import admin

from .models import SentMail, User


@admin.register(User)
class UserAdmin(admin.ModelAdmin):
    list_display = ("email", "name", "language", "is_staff", "is_active", "date_joined")
    list_filter = ("is_staff", "is_active", "language")
    search_fields = ("email", "name")
    ordering = ("email",)
    exclude = ("password",)
    readonly_fields = ("last_login", "date_joined", "marketing_consent_at")


@admin.register(SentMail)
class SentMailAdmin(admin.ModelAdmin):
    list_display = ("user", "kind", "job_id", "claimed_at", "sent_at")
    list_filter = ("kind",)
    list_select_related = ("user",)
    raw_id_fields = ("user",)
