import hashlib
import io
import json
import sys

from django import forms
from django.conf import settings
from django.contrib import messages
from django.db import transaction
from django.http import FileResponse, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.gzip import gzip_page

from .models import Item


class ItemForm(forms.ModelForm):
    class Meta:
        model = Item
        fields = ["name", "price"]


class UploadForm(forms.Form):
    title = forms.CharField()
    first = forms.FileField()
    second = forms.FileField(required=False)


def home(request):
    return render(request, "home.html")


def items(request):
    """A form with CSRF, a redirect with a message, and what is in the database."""
    form = ItemForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        with transaction.atomic():
            item = form.save()
        messages.success(request, "Added %s" % item.name)
        return redirect("items")
    return render(request, "items.html", {"form": form, "items": Item.objects.order_by("id")})


def described(file):
    digest = hashlib.sha256()
    for block in file.chunks():
        digest.update(block)
    return {"name": file.name, "type": file.content_type, "size": file.size,
            "kept": type(file).__name__, "sha256": digest.hexdigest()}


def upload(request):
    form = UploadForm(request.POST or None, request.FILES or None)
    if request.method == "POST":
        if not form.is_valid():
            return JsonResponse(form.errors, status=400)
        return JsonResponse({"title": form.cleaned_data["title"],
                             "files": [described(f) for f in request.FILES.values()]})
    return render(request, "upload.html", {"form": form})


@csrf_exempt
def raw(request):
    """The body as it came, read in odd pieces."""
    digest, size = hashlib.sha256(), 0
    while True:
        block = request.read(9973)
        if not block:
            break
        digest.update(block)
        size += len(block)
    return JsonResponse({"method": request.method, "size": size, "sha256": digest.hexdigest(),
                         "type": request.content_type})


def stream(request, blocks):
    def generate():
        for n in range(blocks):
            yield b"%08d" % n * 1000
    return StreamingHttpResponse(generate(), content_type="text/plain")


def whole_file(request):
    return FileResponse(open(settings.DATA / "big.bin", "rb"), as_attachment=True,
                        filename="gro\u00df.bin")


def made_file(request):
    """A file that has no descriptor."""
    return FileResponse(io.BytesIO(b"made in memory\n" * 1000), filename="made.txt")


@gzip_page
def packed(request):
    return HttpResponse("the same line again\n" * 2000, content_type="text/plain")


def count(request):
    request.session["count"] = request.session.get("count", 0) + 1
    if request.GET.get("forget"):
        request.session.flush()
    return HttpResponse(str(request.session.get("count")), content_type="text/plain")


def where(request):
    """Everything an application finds out about its own address."""
    return JsonResponse({
        "path": request.path, "path_info": request.path_info, "method": request.method,
        "script": request.META["SCRIPT_NAME"], "query": request.GET.urlencode(),
        "scheme": request.scheme, "secure": request.is_secure(), "host": request.get_host(),
        "absolute": request.build_absolute_uri(), "full": request.get_full_path(),
        "agent": request.headers.get("User-Agent"), "odd": request.headers.get("X-Odd-Name"),
        "length": request.META.get("CONTENT_LENGTH") or "", "cookies": request.COOKIES})


def named(request, name):
    return JsonResponse({"name": name, "query": request.GET.urlencode()})


def cookies(request):
    rsp = HttpResponse("baked", content_type="text/plain")
    rsp.set_cookie("one", "1", max_age=3600, httponly=True)
    rsp.set_cookie("two", "a b;c", path="/", samesite="Lax")
    rsp.set_cookie("three", "3", secure=True)
    rsp.delete_cookie("four")
    rsp["X-Several"] = "a, b"
    return rsp


@csrf_exempt
def json_answer(request):
    body = json.loads(request.body) if request.body else None
    rsp = JsonResponse({"method": request.method, "body": body})
    rsp["Allow"] = "GET, PUT, PATCH, DELETE"
    return rsp


def status(request, code):
    reasons = {299: "Quite Fine", 418: "I'm a teapot"}
    body = b"" if code in (204, 304) else b"as asked\n"
    return HttpResponse(body, status=code, reason=reasons.get(code), content_type="text/plain")


def broken(request):
    raise RuntimeError("broken on purpose")


def broken_stream(request):
    def generate():
        yield b"x" * 100000
        print("about to break", file=sys.stderr)
        raise RuntimeError("broken in the middle")
    return StreamingHttpResponse(generate(), content_type="text/plain")
