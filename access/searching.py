"""`?search=` and yes-or-no filters of lists, alike in the API and on pages."""

from datetime import UTC, datetime
from functools import reduce
from operator import and_, or_
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _
from django_filters.fields import IsoDateTimeField
from django_filters.rest_framework import (
    BooleanFilter,
    CharFilter,
    FilterSet,
    IsoDateTimeFilter,
    NumberFilter,
)
from django_filters.widgets import BooleanWidget

MAX_WORDS = 10


class SearchFilterSet(FilterSet):
    """A filter set with `search`: every word must be found in one of `search_fields`, in any case."""

    search_fields: ClassVar[tuple[str, ...]] = ()

    search = CharFilter(method="find", max_length=200, label="Every word is found in one of the main fields.")

    def find(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:  # noqa: ARG002 -- a filter
        words = value.split()[:MAX_WORDS]
        return queryset.filter(reduce(and_, map(self.matching, words))) if words else queryset

    def matching(self, word: str) -> Q:
        """Return which rows hold `word`."""
        return reduce(or_, (Q((f"{field}__icontains", word)) for field in self.search_fields))


class _TrueOrFalseWidget(BooleanWidget):
    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        """What is neither stays as it is, for the field to refuse. The library takes it for none."""
        read = super().value_from_datadict(data, files, name)
        return data.get(name) if read is None else read


class _TrueOrFalseField(forms.NullBooleanField):
    def clean(self, value: Any) -> bool | None:
        if value in (None, "", True, False):
            found: bool | None = super().clean(value)
            return found
        raise ValidationError(_("It must be true or false."))


class TrueOrFalseFilter(BooleanFilter):
    """A filter that refuses what is neither true nor false: left out, it would find too much."""

    field_class = _TrueOrFalseField

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, widget=_TrueOrFalseWidget, **kwargs)


class KeyFilter(NumberFilter):
    """A filter by a key, in digits. A decimal, such as `-1e9999999`, may be more than can be computed."""

    field_class = forms.IntegerField  # type: ignore[assignment]  # a class of its own, that takes less


class _MomentField(IsoDateTimeField):
    def to_python(self, value: Any) -> datetime | None:
        """As UTC, as databases have it: the first and the last hours of time are in no year of it."""
        found = super().to_python(value)
        try:
            return found and found.astimezone(UTC)
        except OverflowError:
            raise ValidationError(self.error_messages["invalid"], code="invalid") from None


class MomentFilter(IsoDateTimeFilter):
    """A filter by a time that a database can hold."""

    field_class = _MomentField
