"""The Django project that the tests in need of one test: Channels, sessions, and consumers of Channels and chanx."""
