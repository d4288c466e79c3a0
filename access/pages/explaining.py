"""Why may, or may not, this user do this to that?"""

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from .. import services
from ..forms import QuestionForm
from ..requests import PageRequest


@require_safe
def explain(request: PageRequest) -> HttpResponse:
    asked = "user" in request.GET
    form = QuestionForm(request.GET if asked else None, initial=request.GET.dict())
    context = {"section": "users", "form": form}
    if asked and form.is_valid():
        user, verb, thing = form.cleaned_data["user"], form.cleaned_data["verb"], form.thing
        context |= {
            "user_asked": user,
            "verb": verb,
            "thing": thing,
            "explanation": services.explain(user, verb, thing),
        }
    return render(request, "access/explain.html", context, status=422 if asked and form.errors else 200)
