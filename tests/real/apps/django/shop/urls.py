from django.contrib import admin
from django.urls import path, re_path

from . import views

urlpatterns = [
    path("", views.home, name="home"),
    path("admin/", admin.site.urls),
    path("items/", views.items, name="items"),
    path("upload/", views.upload, name="upload"),
    path("raw/", views.raw, name="raw"),
    path("stream/<int:blocks>/", views.stream, name="stream"),
    path("file/", views.whole_file, name="file"),
    path("made/", views.made_file, name="made"),
    path("packed/", views.packed, name="packed"),
    path("count/", views.count, name="count"),
    path("where/", views.where, name="where"),
    path("cookies/", views.cookies, name="cookies"),
    path("json/", views.json_answer, name="json"),
    path("status/<int:code>/", views.status, name="status"),
    path("broken/", views.broken, name="broken"),
    path("broken-stream/", views.broken_stream, name="broken-stream"),
    re_path(r"^named/(?P<name>.*)$", views.named, name="named"),
]
