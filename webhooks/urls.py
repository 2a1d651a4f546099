app_name="webhooks"
from django.urls import path
urlpatterns=[]
