from django.contrib.auth.models import Group, User
from django_filters.rest_framework import (
    CharFilter,
    ModelChoiceFilter,
    MultipleChoiceFilter,
)

from .choices import Action, Result, Target, Via
from .searching import KeyFilter, MomentFilter, SearchFilterSet, TrueOrFalseFilter


class TokenFilter(SearchFilterSet):
    search_fields = ("name",)


class AuditFilter(SearchFilterSet):
    """Filters of the audit. Several actions or results: any of them. `actor` and `target` are names."""

    search_fields = ("actor_name", "target_name", "target_id", "source", "problem")

    actor = CharFilter(field_name="actor_name", max_length=150)
    action = MultipleChoiceFilter(choices=Action.choices, distinct=False)
    via = MultipleChoiceFilter(choices=Via.choices, distinct=False)
    result = MultipleChoiceFilter(choices=Result.choices, distinct=False)
    target_type = CharFilter(max_length=40)
    target_id = CharFilter(max_length=64)
    target = CharFilter(field_name="target_name", max_length=255)
    after = MomentFilter(field_name="at", lookup_expr="gte")
    before = MomentFilter(field_name="at", lookup_expr="lt")


class UserFilter(SearchFilterSet):
    search_fields = ("username",)

    active = TrueOrFalseFilter(field_name="is_active")
    superuser = TrueOrFalseFilter(field_name="is_superuser")
    group = ModelChoiceFilter(field_name="groups", queryset=Group.objects.all())


class GroupFilter(SearchFilterSet):
    search_fields = ("name",)


class GrantFilter(SearchFilterSet):
    search_fields = ("user__username", "group__name", "tag")

    user = ModelChoiceFilter(queryset=User.objects.all())
    group = ModelChoiceFilter(queryset=Group.objects.all())
    target = MultipleChoiceFilter(choices=Target.choices, distinct=False)
    object_id = KeyFilter()
