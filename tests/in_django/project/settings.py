"""What the project needs, and no more; the test settings of CHANX are those of seed 003 (S3-1)."""

SECRET_KEY = "for tests, and no secret"
ALLOWED_HOSTS = [".chat.example"]
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "channels",
    "rest_framework",
]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "project.urls"
ASGI_APPLICATION = "project.asgi.application"
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
CHANX = {
    "SEND_COMPLETION": True,
    "LOG_WEBSOCKET_MESSAGE": False,
    "LOG_IGNORED_ACTIONS": [],
}
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
USE_TZ = True
