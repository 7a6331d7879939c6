from django.apps import AppConfig


class HotstateConfig(AppConfig):
    name = "hotstate"
