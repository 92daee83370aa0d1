from django.forms import ModelForm
from django.shortcuts import redirect, render

from .models import Entry


class EntryForm(ModelForm):
    class Meta:
        model = Entry
        fields = ["name", "message"]


def home(request):
    """The latest entries, and a form to add one."""
    form = EntryForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        form.save()
        return redirect("home")
    return render(request, "home.html", {"form": form, "entries": Entry.objects.all()[:20]})


def about(request):
    shown = ["SERVER_SOFTWARE", "SERVER_PROTOCOL", "REMOTE_ADDR", "SCRIPT_NAME", "PATH_INFO"]
    # As text: a template calls a value that can be called.
    environ = [(name, str(value)) for name, value in sorted(request.META.items())
               if name in shown or name.startswith(("wsgi.", "mod_wsgi."))]
    return render(request, "about.html", {"environ": environ})
