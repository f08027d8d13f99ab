"""The project's HTTP: one view, which speaks to WebSockets."""

from django.urls import path

from project.chat import announce

urlpatterns = [path("announce/<str:name>/", announce)]
