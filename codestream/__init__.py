"""Codestream: a push to Docker Hub deploys to Kubernetes while you watch."""

RELEASE = "0.1.0"
