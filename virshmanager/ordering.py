from collections.abc import Iterable
from typing import Any

from django.utils.translation import gettext as _
from rest_framework.exceptions import ValidationError
from rest_framework.filters import OrderingFilter
from rest_framework.request import Request
from rest_framework.views import APIView


class StrictOrdering(OrderingFilter):
    """`?ordering=`: an unknown field is 400, and equal rows keep one order, so that pages do not overlap."""

    def remove_invalid_fields(
        self, queryset: Any, fields: Iterable[str], view: APIView, request: Request
    ) -> list[str]:
        valid = super().remove_invalid_fields(queryset, fields, view, request)
        if unknown := set(fields) - set(valid):
            raise ValidationError(
                {"ordering": [_("Cannot order by %(fields)s.") % {"fields": ", ".join(sorted(unknown))}]}
            )
        return [*valid, "pk"]
