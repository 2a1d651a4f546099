app_name="executions"
from django.urls import path
urlpatterns=[]
