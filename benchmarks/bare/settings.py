"""The product's settings, with one bare view in place of the product."""

from codestream.settings import *  # noqa: F403

INSTALLED_APPS = []
MIDDLEWARE = []
ROOT_URLCONF = "benchmarks.bare.urls"
