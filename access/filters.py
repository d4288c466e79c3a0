from .searching import SearchFilterSet


class TokenFilter(SearchFilterSet):
    search_fields = ("name",)
