"""What OpenAPI says beyond the views: each refusal is a problem (RFC 9457), whatever its status."""

from typing import Any, Final

from drf_spectacular.hooks import postprocess_schema_enums

PROBLEM: Final = {
    "type": "object",
    "description": "Why a request was refused (RFC 9457). Some have more fields.",
    "required": ["type", "title", "status", "detail", "instance"],
    "properties": {
        "type": {"type": "string", "description": "A stable word."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "errors": {"type": "object", "description": "By field, of `invalid`.", "additionalProperties": {}},
    },
}
REFUSED: Final = {
    "description": "A problem",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def describe(result: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Name the enumerations, and have every operation answer problems. (POSTPROCESSING_HOOKS.)"""
    result = postprocess_schema_enums(result, **more)  # type: ignore[no-untyped-call]
    result["components"]["schemas"]["Problem"] = PROBLEM
    for path in result["paths"].values():
        for operation in path.values():
            operation["responses"].setdefault("default", REFUSED)
    return result
