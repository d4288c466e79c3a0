from django.apps import AppConfig


class AccessConfig(AppConfig):
    name = "access"

    def ready(self) -> None:
        from . import checks, schema  # noqa: F401 -- they register themselves
        from .audit import listening, rights  # noqa: F401 -- as these
