"""The web server's entry point: refuses to start with a setting that is missing or malformed."""

import os

from django.core.wsgi import get_wsgi_application

from config.checks import refuse_bad_settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
refuse_bad_settings()
application = get_wsgi_application()
